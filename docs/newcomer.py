"""Run docs/ten_minutes.md as a newcomer would, from a table to an audited model, and time it.

    python docs/newcomer.py                                        (in a folder that goes)
    python docs/newcomer.py --pictures docs/_static/ten_minutes    (redraws its pictures)

Blocks of Python run one after another, commands of `fairmi` as they stand. It fails where a step
does, or where all of them take more than ten minutes of the processor. Pictures are by Chromium,
and are left out where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import io
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "ten_minutes.md"
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOST_SECONDS, LINES = 600, 34
TERMINAL = """<meta charset="utf-8"><body style="margin:0;background:#1e1e1e;color:#eee">
<pre style="margin:0;padding:14px;font:13px/1.35 'DejaVu Sans Mono',monospace">{}</pre>"""


def processor_seconds() -> float:
    """Return the seconds of the processor of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def run(language: str, text: str, names: dict[str, Any]) -> str:
    """Run a block, and return what it printed."""
    if language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, str(PAGE), "exec"), names)
        return printed.getvalue()
    command = [sys.executable, "-m", *shlex.split(text)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{text}\n{done.stderr}")
    return done.stdout


def photograph(browser: str, page: Path, picture: Path, height: int) -> None:
    """Save the first screen of a page."""
    asked = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    asked += [f"--window-size=900,{height}", f"--screenshot={picture.resolve()}", page.as_uri()]
    subprocess.run([browser, *asked], check=True, capture_output=True)


def photograph_step(
    browser: str, number: int, text: str, printed: str, folder: Path, pictures: Path
) -> None:
    """Save what a terminal shows of a step, or the page that the step made."""
    picture = pictures / f"step{number}.png"
    if (folder / "audit.html").exists() and "audit.html" in text:
        photograph(browser, folder / "audit.html", picture, 1100)
        return
    lines = printed.rstrip().splitlines()
    shown = lines[-LINES:] if len(lines) > LINES else lines
    prompt = [f"$ {text.strip()}"] if text.startswith("fairmi") else []
    page = folder / "terminal.html"
    page.write_text(TERMINAL.format(html.escape("\n".join([*prompt, *shown]))), encoding="utf-8")
    photograph(browser, page, picture, 28 + 18 * (len(shown) + len(prompt)))
    if (folder / "compared").exists() and "compared" in text:
        shutil.copy(folder / "compared" / "compare.png", pictures / "compare.png")


def main() -> None:
    """Run all steps, and say what each took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder to draw the page's pictures into")
    options = parser.parse_args()
    pictures = None if options.pictures is None else options.pictures.resolve()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if pictures is not None and browser is None:
        print("no Chromium: pictures are left out")
    names: dict[str, Any] = {"__name__": "page"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number, (language, text) in enumerate(BLOCK.findall(PAGE.read_text("utf-8")), 1):
            start = processor_seconds()
            printed = run(language, text, names)
            print(f"{printed}step {number}: {processor_seconds() - start:.0f} s", flush=True)
            if pictures is not None and browser is not None:
                pictures.mkdir(parents=True, exist_ok=True)
                photograph_step(browser, number, text, printed, Path(folder), pictures)
        os.chdir(PAGE.parent)
    total = processor_seconds()
    print(f"all steps: {total:.0f} s of the processor")
    if total > MOST_SECONDS:
        raise SystemExit(f"more than {MOST_SECONDS} s: the page promises less")


if __name__ == "__main__":
    main()
