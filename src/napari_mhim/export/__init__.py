"""What leaves: tables, heatmaps and pictures of a result."""
