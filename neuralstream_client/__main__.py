"""``python -m neuralstream_client``: the `neuralstream` command where its script is not on the path."""

from neuralstream_client.command import main

if __name__ == "__main__":
    main()
