"""``python -m gptlib``: the command line."""

from gptlib.cli import main

if __name__ == "__main__":
    main()
