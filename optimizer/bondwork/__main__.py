"""``bondwork`` and ``python -m bondwork``: what is done before the command line is there to hear signals."""

import signal


def main() -> None:
    """Load the command line and run it: Ctrl-C while it loads ends it as silently as any program."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:  # else a shell runs it in the background, without Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bondwork.cli import main as run

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
