"""Marks for a class: submissions are judged in processes of their own."""
