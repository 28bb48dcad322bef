"""``python -m gptcourse``: run, open and maintain the course."""

from gptcourse.cli import main

if __name__ == "__main__":
    main()
