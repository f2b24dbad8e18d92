"""The ML Test Score of this project, counted from the marks of its tests."""
