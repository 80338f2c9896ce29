"""Made slides: H&E-like tissue with lesions known to the pixel."""
