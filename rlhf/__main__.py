"""python -m rlhf"""

import sys

from rlhf.commands.run import main

if __name__ == "__main__":
    sys.exit(main())
