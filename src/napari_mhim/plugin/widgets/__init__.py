"""The one dock and its tabs, a file each."""
