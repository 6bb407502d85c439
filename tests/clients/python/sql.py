"""Analysts' own tools, each asked the same question; prints the answer as CSV.

sql.py psycopg HOST PORT USER PROVIDER QUESTION   the password is PGPASSWORD;
                                                  PROVIDER stands for the question's %s
sql.py duckdb FOLDER TENANT QUESTION              over the lake's files, by its manifest
sql.py prompt NEXUS QUESTION                      types it at `nexus sql`, on a terminal
"""

import csv
import json
import os
import pty
import re
import select
import sys
import time

PATIENCE_S = 60


def shown(names, rows):
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)


def over_the_wire(host, port, user, provider, question):
    import psycopg

    where = {"host": host, "port": port, "user": user, "dbname": "nexus"}
    with psycopg.connect(**where, connect_timeout=PATIENCE_S) as connection:
        # In a transaction, as the driver does by itself, with a parameter, and
        # once more as a prepared statement.
        answers = []
        for prepared in (False, True):
            cursor = connection.execute(question, (provider,), prepare=prepared)
            answers.append(([column.name for column in cursor.description], cursor.fetchall()))
        assert answers[0] == answers[1], answers
    shown(*answers[0])


def in_files(folder, tenant, question):
    import duckdb

    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    paths = [os.path.join(folder, file["path"]) for file in manifest["files"] if file["topic"] == "events"]
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    files = duck.read_parquet(paths)
    events = files.filter(duckdb.ColumnExpression("tenant_id") == duckdb.ConstantExpression(tenant))
    events.create_view("events")
    answer = duck.execute(question)
    shown([column[0] for column in answer.description], answer.fetchall())


class Terminal:
    """A program at the other end of a terminal."""

    def __init__(self, command):
        pid, self.end = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(command[0], command)
        self.seen = ""

    def type(self, text):
        os.write(self.end, text.encode())

    def until(self, pattern):
        """What there is to see before a pattern; it has been seen then."""
        begun = time.monotonic()
        while not (found := re.search(pattern, self.seen)):
            left = PATIENCE_S - (time.monotonic() - begun)
            assert left > 0, f"no {pattern!r} in {self.seen!r}"
            ready, _, _ = select.select([self.end], [], [], left)
            if ready:
                piece = os.read(self.end, 65536).decode(errors="replace")
                # Colours, and where the cursor goes, are nothing to read.
                self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", piece)
        before, self.seen = self.seen[: found.start()], self.seen[found.end():]
        return before

    def ended(self):
        """Waits for its end; reading from a terminal that nobody is at fails."""
        while select.select([self.end], [], [], PATIENCE_S)[0]:
            try:
                if not os.read(self.end, 65536):
                    return
            except OSError:
                return
        raise AssertionError("the program goes on")


def at_the_prompt(nexus, question):
    terminal = Terminal([nexus, "sql"])
    terminal.until(r"nexus=> ")
    # A name is completed, and a statement goes on until its end.
    terminal.type("SELECT 1 AS one FROM work_it\t\n")
    assert "work_items" in terminal.until(r"nexus-> "), "no completion"
    terminal.type("WHERE false;\n")
    terminal.until(r"\(0 rows\)\s+nexus=> ")
    terminal.type("\\timing\n")
    terminal.until(r"Timing is on\.\s+nexus=> ")
    terminal.type("SELECT nothing FROM events;\n")
    assert "nothing" in terminal.until(r"\n\s*nexus=> "), "no error is shown"
    terminal.type(question + ";\n")
    answer = terminal.until(r"\((\d+) rows?\)\s+Time: [0-9.]+ ms\s+nexus=> ")
    # What was asked is there again.
    terminal.type("\x1b[A")
    terminal.until("\n?".join(re.escape(letter) for letter in question[-20:]))
    terminal.type("\n")
    terminal.until(r"\(\d+ rows?\)\s+Time: [0-9.]+ ms\s+nexus=> ")
    terminal.type("\\q\n")
    terminal.ended()
    lines = answer.splitlines()
    rule = max(number for number, line in enumerate(lines) if re.fullmatch(r"[-+]{3,}", line.strip()))
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[rule - 1:] if line.strip()]
    shown(cells[0], cells[2:])


if __name__ == "__main__":
    ways = {"psycopg": over_the_wire, "duckdb": in_files, "prompt": at_the_prompt}
    ways[sys.argv[1]](*sys.argv[2:])
