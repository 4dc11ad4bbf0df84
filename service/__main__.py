"""`hotswap`, and `python -m service`."""

from service.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="hotswap")


if __name__ == "__main__":
    main()
