"""usage: measure.py COMMAND [ARGS]...

Runs a command; after what it prints comes a last line on stdout: {"wall_s": …, "cpu_s": …, "peak_rss_mb": …} of the process and
its children. Exits with the command's exit code.
"""

import json
import resource
import subprocess
import sys
import time

started = time.monotonic()
code = subprocess.run(sys.argv[1:]).returncode
wall_s = time.monotonic() - started
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
figures = {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_rss_mb": usage.ru_maxrss * 1024 / 1e6}
print(json.dumps(figures), flush=True)
sys.exit(code)
