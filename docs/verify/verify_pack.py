#!/usr/bin/env python3
"""An independent verifier of Mandate evidence packs: checks 1 to 4 and 7 of docs/pack.md.

usage: verify_pack.py [--pinned CHECKPOINT]... [--key BASE64] PACK
       verify_pack.py --expected FILE.json     (verdicts over a folder of packs, for the tests)

Exit 0: these checks hold. Exit 1: tampered. Exit 2: cannot be decided.
Needs Python 3.9 or later and the package `cryptography`, and nothing else.
"""
import base64
import datetime
import hashlib
import json
import os
import re
import sys
import zipfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT, PRODUCT = 1, (0, 1)
NAMES = re.compile(r"(manifest\.json|manifest\.note|keys\.ndjson|checkpoints\.ndjson"
                   r"|logs/(registry|customer)/[1-9][0-9]{0,9}\.ndjson|documents/[0-9a-f]{64})")
LIMITED = {"export.refused", "export.redemption_refused", "export.tried"}
LONGEST_LINE = 32 * 1024 * 1024
HASH = re.compile(r"[0-9a-f]{64}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Undecided(Exception):
    """Something is missing or unknown."""


class Tampered(Exception):
    """Something is wrong."""


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def canonical(value):
    """RFC 8785 for the values that packs hold: no fractions, members named in ASCII."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def no_fraction(text):
    raise ValueError(text)


def once(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def read_json(data):
    return json.loads(data.decode(), object_pairs_hook=once, parse_float=no_fraction, parse_constant=no_fraction)


def whole_numbers(value):
    """True if every number in it counts something."""
    if isinstance(value, dict):
        return all(map(whole_numbers, value.values()))
    if isinstance(value, list):
        return all(map(whole_numbers, value))
    return value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def digest_of(text):
    if not isinstance(text, str) or not HASH.fullmatch(text):
        raise ValueError("no hash")
    return bytes.fromhex(text)


def note(text, name, keys):
    """The text of a note that a known key has signed under a name."""
    try:
        body, signatures = text[: text.rindex("\n\n") + 1], text[text.rindex("\n\n") + 2:]
        lines = signatures.removesuffix("\n").split("\n")
        assert signatures.endswith("\n")
        read = []
        for line in lines:
            dash, signer, encoded = line.split(" ")
            raw = base64.b64decode(encoded, validate=True)
            assert dash == "\u2014" and len(raw) > 4 and base64.b64encode(raw).decode() == encoded
            read.append((signer, raw[:4], raw[4:]))
    except (ValueError, AssertionError):
        raise Tampered("no signed note")
    signed = False
    for signer, key_hash, signature in read:
        for key in keys:
            if signer == name and key_hash == sha256(name.encode(), b"\n\x01", key)[:4]:
                try:
                    Ed25519PublicKey.from_public_bytes(key).verify(signature, body.encode())
                except InvalidSignature:
                    raise Tampered("a signature does not fit")
                signed = True
    if not signed:
        raise Tampered("not signed by a known key")
    return body


def checkpoint(body):
    try:
        origin, size, root, end = body.split("\n")
        raw = base64.b64decode(root, validate=True)
        assert end == "" and origin and len(raw) == 32 and base64.b64encode(raw).decode() == root
        assert re.fullmatch(r"0|[1-9][0-9]{0,18}", size)
        return origin, int(size), raw
    except (ValueError, AssertionError):
        raise Tampered("no checkpoint")


class Log:
    """What one passage over a log's epoch gives."""

    def __init__(self):
        self.size, self.roots, self.stack = 0, {}, []
        self.counts, self.keys, self.withdrawn = {}, [], set()
        self.documents, self.erased_documents = {}, {}
        self.gone, self.kept, self.erased, self.left_out = {}, set(), {}, 0
        self.ended = None

    def root(self):
        if not self.stack:
            return sha256()
        root = self.stack[-1]
        for left in reversed(self.stack[:-1]):
            root = sha256(b"\x01", left, root)
        return root


class Pack:
    def __init__(self, path, pinned=(), key=None):
        self.path, self.pinned, self.key = path, pinned, key
        self.tampered, self.undecided = [], []

    def wrong(self, place, what):
        self.tampered.append(f"{place}: {what}")

    def unknown(self, place, what):
        self.undecided.append(f"{place}: {what}")

    def verify(self):
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.archive(archive)
        except Undecided as error:
            self.undecided.append(str(error))
        except Tampered as error:
            self.tampered.append(str(error))
        except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            self.undecided.append(f"the archive cannot be read: {error}")
        except Exception as error:  # zlib.error, struct.error: of the archive's bytes
            if type(error).__name__ != "error":
                raise
            self.undecided.append(f"the archive cannot be read: {error}")
        return 1 if self.tampered else 2 if self.undecided else 0

    def archive(self, archive):
        infos = archive.infolist()
        names = [info.filename for info in infos]
        if archive.comment or len(set(names)) != len(names):
            raise Undecided("the archive holds a name twice, or a comment")
        for info in infos:
            if not NAMES.fullmatch(info.filename) or info.orig_filename != info.filename:
                raise Undecided(f"a pack holds no file {info.filename!r}")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Undecided(f"{info.filename} is neither stored nor deflated")
            if info.file_size > 1 << 26 and info.file_size // 200 > info.compress_size:
                raise Undecided(f"{info.filename} unpacks to {info.file_size} bytes")
        self.names = set(names)
        for needed in ("manifest.json", "manifest.note", "keys.ndjson", "checkpoints.ndjson"):
            if needed not in self.names:
                raise Undecided(f"{needed} is missing")
        self.open = archive.open
        manifest = self.manifest(archive.read("manifest.json"))
        keys = self.keys(self.listed("keys.ndjson"))
        signers = [self.key] if self.key else keys
        try:
            text = note(archive.read("manifest.note").decode(), "mandate/pack", signers)
            digest = hashlib.sha256(canonical(manifest)).hexdigest()
            if text != f"mandate pack\n{manifest['customer']}\n{digest}\n":
                self.wrong("manifest.note", "it is not over this manifest")
        except (Tampered, UnicodeDecodeError) as error:
            self.wrong("manifest.note", error)
        checkpoints = self.checkpoints(self.listed("checkpoints.ndjson"))
        pinned = self.read_pinned()
        logs = {}
        for part in manifest["logs"]:
            wanted = {size for (log, epoch, _, (_, size, _)) in checkpoints if (log, epoch) == (part["log"], part["epoch"])}
            wanted |= {size for (_, (origin, size, _)) in pinned if origin == part["origin"]}
            name = f"logs/{part['log']}/{part['epoch']}.ndjson"
            # None: it could not be read to its end, and of less than that nothing is said.
            logs[part["log"], part["epoch"]] = self.log(name, part, wanted) if name in self.names else None
        self.trees(manifest, keys, signers, checkpoints, logs)
        self.check_pinned(manifest, pinned, logs)
        customer = [(epoch, log) for (name, epoch), log in sorted(logs.items(), key=lambda item: item[0]) if name == "customer"]
        if all(log is not None for _, log in customer):
            self.documents(manifest, customer)
            self.erasures(manifest, customer)

    def manifest(self, data):
        try:
            manifest = read_json(data)
            if manifest.get("format") != FORMAT:
                raise Undecided(f"manifest.json: it is of format {manifest.get('format')}, known is {FORMAT}")
            if not re.fullmatch(r"\d+\.\d+\.\d+", manifest["product"]):
                raise Undecided("manifest.json: it names no version of the product")
            if tuple(int(n) for n in manifest["product"].split(".")[:2]) > PRODUCT:
                raise Undecided(f"manifest.json: made by version {manifest['product']}, later than this verifier knows")
            members = {"counts", "customer", "erased", "files", "format", "left_out", "logs", "made_at", "period", "product"}
            assert set(manifest) == members and re.fullmatch(r"cus_[0-9a-f]{32}", manifest["customer"])
            self.files = {}
            for part in manifest["files"]:
                assert set(part) == {"length", "name", "sha256"}
                if part["name"] in self.files:
                    self.wrong("manifest.json", "it lists a file twice")
                self.files[part["name"]] = (part["length"], digest_of(part["sha256"]))
            assert all(set(part) == {"epoch", "log", "origin", "size"} for part in manifest["logs"])
            assert all(part["log"] in ("registry", "customer") for part in manifest["logs"])
            made = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d\.\d{3})[Zz]", manifest["made_at"])
            datetime.datetime.fromisoformat(f"{made[1]}T{made[2]}")
            assert whole_numbers(manifest)
            assert set(manifest["erased"]) == {"documents", "subjects"}
            assert set(manifest["left_out"]) == {"documents", "records"}
            period = manifest["period"]
            self.period = period
            assert period is None or all(INSTANT.fullmatch(period[name]) for name in ("from_at", "until_at"))
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            raise Undecided("manifest.json: it is no manifest")
        if canonical(manifest) != data:
            self.wrong("manifest.json", "it is not canonical JSON")
        for name in self.names - set(self.files) - {"manifest.json", "manifest.note"}:
            self.wrong(name, "the manifest does not list it")
        for name in set(self.files) - self.names:
            self.unknown(name, "it is missing")
        order = [(part["log"], part["epoch"]) for part in manifest["logs"]]
        epochs = {name: [epoch for log, epoch in order if log == name] for name in ("registry", "customer")}
        whole = all(found and found == list(range(1, len(found) + 1)) for found in epochs.values())
        if not whole or order != [(name, epoch) for name in ("registry", "customer") for epoch in epochs[name]]:
            self.unknown("manifest.json", "it does not name every epoch of both logs")
        for part in manifest["logs"]:
            name = "registry" if part["log"] == "registry" else manifest["customer"]
            if part["origin"] != f"mandate/{name}/{part['epoch']}":
                self.wrong("manifest.json", "a log is named as another")
            if f"logs/{part['log']}/{part['epoch']}.ndjson" not in self.files:
                self.unknown(f"logs/{part['log']}/{part['epoch']}.ndjson", "it is missing")
        return manifest

    def as_listed(self, name, length, digest):
        if name in self.files and self.files[name] != (length, digest):
            self.wrong(name, "its bytes are not those that the manifest lists")

    def listed(self, name):
        with self.open(name) as file:
            data = file.read()
        self.as_listed(name, len(data), sha256(data))
        return data

    def keys(self, data):
        keys = []
        try:
            for line in data.splitlines(keepends=True):
                read = read_json(line)
                key = base64.b64decode(read["public_key"], validate=True)
                assert set(read) == {"kid", "public_key"} and len(key) == 32
                assert base64.b64encode(key).decode() == read["public_key"] and sha256(key).hex() == read["kid"]
                keys.append(key)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            raise Undecided("keys.ndjson: a line is no public key of the logs")
        if not keys:
            raise Undecided("keys.ndjson: it holds no key")
        if self.key and self.key not in keys:
            raise Undecided("keys.ndjson: the given key is none of these")
        return keys

    def checkpoints(self, data):
        found = []
        for line in data.splitlines(keepends=True):
            try:
                read = read_json(line)
                assert set(read) == {"epoch", "log", "note"} and read["log"] in ("registry", "customer")
                body = read["note"][: read["note"].rindex("\n\n") + 1]
                found.append((read["log"], read["epoch"], read["note"], checkpoint(body)))
            except (ValueError, KeyError, TypeError, AttributeError, AssertionError, Tampered):
                raise Undecided("checkpoints.ndjson: a line is no checkpoint")
        return found

    def read_pinned(self):
        found = []
        for text in self.pinned:
            try:
                found.append((text, checkpoint(text[: text.rindex("\n\n") + 1])))
            except (ValueError, Tampered):
                self.unknown("--pinned", "it is no checkpoint")
        return found

    def log(self, name, part, wanted):
        log, whole, last, place = Log(), hashlib.sha256(), "", ""
        length, other_tree = 0, False
        with self.open(name) as file:
            while True:
                line = file.readline(LONGEST_LINE)
                if not line:
                    break
                whole.update(line)
                length += len(line)
                place = f"entry {log.size} of the {part['log']} log, epoch {part['epoch']}"
                entry = self.entry(line, place)
                if entry is None:
                    # The rest says nothing, and is only hashed.
                    for rest in iter(lambda: file.read(1 << 20), b""):
                        whole.update(rest)
                        length += len(rest)
                    self.as_listed(name, length, whole.digest())
                    return None
                leaf = entry["leaf"]
                hashed, index = sha256(b"\x00", canonical(leaf)), log.size
                while index & 1:
                    hashed, index = sha256(b"\x01", log.stack.pop(), hashed), index >> 1
                log.stack.append(hashed)
                if hashed.hex() != entry["node"] and not other_tree:
                    other_tree = True
                    self.wrong(place, "the leaves up to here are not those of the tree")
                if leaf["at"] < last:
                    self.wrong(place, "its time lies before that of the entry before it")
                last = leaf["at"]
                self.contents(log, part, entry, place)
                log.size += 1
                if log.size in wanted:
                    log.roots[log.size] = log.root()
        log.roots[log.size] = log.root()
        if 0 in wanted:
            log.roots[0] = sha256()
        self.as_listed(name, length, whole.digest())
        return log

    def entry(self, line, place):
        try:
            entry = read_json(line)
            leaf = entry["leaf"]
            assert canonical(entry) + b"\n" == line
            assert set(entry) <= {"leaf", "node", "nonce", "record", "subjects", "subjects_nonce"}
            assert set(leaf) == {"actor", "at", "commitment", "object", "type", "v"}
            assert INSTANT.fullmatch(leaf["at"]) and isinstance(leaf["type"], str)
            for text in (entry["node"], leaf["commitment"], entry.get("nonce", "0" * 64), entry.get("subjects_nonce", "0" * 64)):
                digest_of(text)
            return entry
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            self.wrong(place, "the line is no entry")
            return None

    def contents(self, log, part, entry, place):
        leaf, customer, at = entry["leaf"], part["log"] == "customer", (part["epoch"], log.size)
        if leaf["v"] != 1:
            self.unknown(place, f"version {leaf['v']} of entries is not known")
            return
        if customer:
            log.counts[leaf["type"]] = log.counts.get(leaf["type"], 0) + 1
        if "record" not in entry or "nonce" not in entry:
            period = self.period_of(leaf["at"])
            if customer and not {"record", "nonce"} & set(entry) and leaf["type"] in LIMITED and period == "outside":
                log.left_out += 1
            else:
                self.unknown(place, "its record is missing, and the pack does not say why")
            return
        record = entry["record"]
        committed = sha256(b"mandate record v1\n", digest_of(entry["nonce"]), canonical(record))
        if committed.hex() != leaf["commitment"]:
            self.wrong(place, "its record is not the one that its leaf commits to")
        subjects, there = record.get("subjects") if isinstance(record, dict) else None, {"subjects", "subjects_nonce"} & set(entry)
        if subjects is None and there:
            self.wrong(place, "it has subjects that its record does not know")
        elif subjects is not None and len(there) == 1:
            self.wrong(place, "its subjects are there only in part")
        elif subjects is not None and there:
            committed = sha256(b"mandate subjects v1\n", digest_of(entry["subjects_nonce"]), canonical(entry["subjects"]))
            if committed.hex() != subjects.get("commitment") or subjects.get("count") != len(entry["subjects"]):
                self.wrong(place, "its subjects are not those that its record commits to")
            log.kept.add(at)
        elif subjects is not None:
            log.gone[at] = leaf["type"]
        try:
            if leaf["type"] == "epoch.opened":
                if at[0] == 1 or at[1] > 0:
                    self.wrong(place, "an epoch is opened in the middle of another")
                else:
                    log.ended = {ended["epoch"]: self.ending(ended) for ended in record["ended"]}
            elif customer and leaf["type"] == "document.stored":
                log.documents[digest_of(record["sha256"])] = (record["length"], leaf["at"], place, at)
            elif customer and leaf["type"] == "document.erased":
                log.erased_documents[digest_of(record["document_sha256"])] = at
            elif customer and leaf["type"] == "subjects.erased":
                log.erased.update({(epoch, index): at for epoch, index in record["entries"]})
            elif not customer and leaf["type"] == "log_key.published":
                log.keys.append(base64.b64decode(record["public_key"], validate=True))
            elif not customer and leaf["type"] == "log_key.withdrawn":
                log.withdrawn.add(record["kid"])
        except (ValueError, KeyError, TypeError):
            self.unknown(place, "its record cannot be read")

    def ending(self, ended):
        known = ended["known"]
        known = known and (known["size"], digest_of(known["root"]))
        missing = ended["missing"]
        if missing:
            consistent = bool(known) and missing[0] <= missing[1] == known[0] - 1 and missing[0] <= ended["size"]
        else:
            consistent = not known or known[0] <= ended["size"]
        return ended["size"], digest_of(ended["root"]), known, consistent, missing

    def ended(self, logs, name, epoch):
        """How an epoch ended, as the opening of a later one says."""
        later = sorted((other, log) for (log_name, other), log in logs.items() if log_name == name and other > epoch)
        return next((log.ended[epoch] for _, log in later if log and log.ended and epoch in log.ended), None)

    def epochs(self, manifest, logs):
        for part in manifest["logs"]:
            name, epoch = part["log"], part["epoch"]
            place, log = f"the {name} log, epoch {epoch}", logs.get((name, epoch))
            if log is None:
                continue
            if epoch > 1 and log.size > 0 and log.ended is None:
                self.wrong(place, "it does not begin with its opening")
            told = self.ended(logs, name, epoch)
            if told is None and any(other > epoch for other_name, other in logs if other_name == name):
                self.wrong(place, "it ended, and no opening of a later epoch says how")
            elif told is not None and (told[:2] != (log.size, log.root()) or not told[3]):
                self.wrong(place, "the opening of a later epoch says otherwise how it ended")

    def period_of(self, at):
        period = self.period
        if period is None:
            return "inside"
        return "inside" if period["from_at"] <= at < period["until_at"] else "outside"

    def trees(self, manifest, keys, signers, checkpoints, logs):
        withdrawn = {kid for (name, _), log in logs.items() if name == "registry" and log for kid in log.withdrawn}
        registry = [log for (name, _), log in sorted(logs.items(), key=lambda item: item[0]) if name == "registry"]
        published = [key for log in registry if log for key in log.keys]
        self.published = published
        known = {(part["log"], part["epoch"]) for part in manifest["logs"]}
        for log, epoch, _, _ in checkpoints:
            if (log, epoch) not in known:
                self.wrong("checkpoints.ndjson", "it speaks of a log that the pack does not hold")
        for part in manifest["logs"]:
            place, log = f"the {part['log']} log, epoch {part['epoch']}", logs.get((part["log"], part["epoch"]))
            sizes = []
            for name, epoch, text, (origin, size, root) in checkpoints:
                if (name, epoch) != (part["log"], part["epoch"]):
                    continue
                sizes.append(size)
                try:
                    note(text, part["origin"], signers)
                    hashes = {sha256(part["origin"].encode(), b"\n\x01", key)[:4]: sha256(key).hex() for key in keys}
                    lines = text[text.rindex("\n\n") + 2:].split("\n")[:-1]
                    signed_by = {hashes.get(base64.b64decode(line.split(" ")[2])[:4]) for line in lines}
                    if signed_by & withdrawn:
                        raise Tampered("it is signed by a key that was withdrawn")
                    if origin != part["origin"]:
                        raise Tampered(f"it is of {origin}")
                    if log is not None and log.roots.get(size) != root:
                        raise Tampered(f"the root of its first {size} entries is not the one that was signed")
                except Tampered as error:
                    self.wrong(place, f"its checkpoint does not hold: {error}")
            if log is not None and log.size != part["size"]:
                self.wrong(place, f"the manifest counts {part['size']} entries, and there are {log.size}")
            if not sizes:
                self.unknown(place, "no checkpoint of it is signed")
            elif log is not None and max(sizes) < log.size:
                self.wrong(place, f"its checkpoint is of {max(sizes)} entries, and there are {log.size}")
        self.epochs(manifest, logs)
        if all(registry) and published != keys:
            self.wrong("keys.ndjson", "its keys are not those that the registry's log has published")

    def check_pinned(self, manifest, pinned, logs):
        for text, (origin, size, root) in pinned:
            part = next((part for part in manifest["logs"] if part["origin"] == origin), None)
            if part is None:
                self.unknown("--pinned", f"it is of {origin}, which is no log of this pack")
                continue
            try:
                note(text, origin, self.published)
            except Tampered as error:
                self.unknown("--pinned", f"it is not of these keys: {error}")
                continue
            log = logs.get((part["log"], part["epoch"]))
            if log is None or log.roots.get(size) == root:
                continue
            told = self.ended(logs, part["log"], part["epoch"])
            missing = told and told[4]
            lost = missing and missing[0] <= size - 1 <= missing[1]
            if lost and told[2] == (size, root):
                continue  # what was lost was told, and up to what was kept
            if lost and told[2][0] > size:
                self.unknown("--pinned", f"of its {size} entries, those from {missing[0]} on were lost in a restore, as the next epoch says")
            else:
                self.wrong(f"the {part['log']} log, epoch {part['epoch']}", f"its first {size} entries are not those of the checkpoint that was kept")

    def documents(self, manifest, customer):
        stored = {digest: found for _, log in customer for digest, found in log.documents.items()}
        erased = {digest: by for _, log in customer for digest, by in log.erased_documents.items()}
        left_out = 0
        for digest, (length, at, place, index) in stored.items():
            name = f"documents/{digest.hex()}"
            if name in self.names:
                hashed, read = hashlib.sha256(), 0
                with self.open(name) as file:
                    for piece in iter(lambda: file.read(1 << 20), b""):
                        hashed.update(piece)
                        read += len(piece)
                self.as_listed(name, read, hashed.digest())
                if (read, hashed.digest()) != (length, digest):
                    self.wrong(name, "its bytes are not those that were stored")
            elif not erased.get(digest, (0, 0)) > index:  # bytes that were erased may have been stored again
                if self.period_of(at) == "outside":
                    left_out += 1
                else:
                    self.unknown(place, f"the document that it stored is missing: {name}")
        if manifest["left_out"] != {"documents": left_out, "records": sum(log.left_out for _, log in customer)}:
            self.wrong("manifest.json", "it says otherwise how much it leaves out than it does")
        for name in self.names:
            if name.startswith("documents/") and bytes.fromhex(name[10:]) not in stored:
                self.wrong(name, "no entry has stored it")

    def erasures(self, manifest, customer):
        gone = {at: word for _, log in customer for at, word in log.gone.items()}
        kept = {at for _, log in customer for at in log.kept}
        erased = {at: by for _, log in customer for at, by in log.erased.items()}
        for (epoch, index), word in gone.items():
            if not erased.get((epoch, index), (0, 0)) > (epoch, index):
                self.wrong(f"entry {index} of the customer log, epoch {epoch}", f"its subjects are gone, and no entry says so ({word})")
        for epoch, index in kept & set(erased):
            self.wrong(f"entry {index} of the customer log, epoch {epoch}", "its subjects were erased, and they are here")
        kinds = {}
        for word in gone.values():
            kinds[word] = kinds.get(word, 0) + 1
        documents = len({digest for _, log in customer for digest in log.erased_documents})
        if manifest["erased"] != {"documents": documents, "subjects": kinds}:
            self.wrong("manifest.json", "it says otherwise how much was erased than the log does")


def expected(path):
    """Verdicts over the packs that a file lists, against those it expects."""
    folder, differ = os.path.dirname(path), 0
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)
    for case in cases:
        pack = Pack(os.path.join(folder, case["pack"]), case["pinned"])
        found = pack.verify()
        if found != case["exit"]:
            differ += 1
            print(f"{case['pack']} ({case['mutation']}): expected {case['exit']}, found {found} {pack.tampered[:2]} {pack.undecided[:2]}")
    caught = sum(case["exit"] != 0 for case in cases)
    print(f"{len(cases)} packs, {caught} of them changed where checks 1 to 4 and 7 look; {differ} verdicts differ")
    return 1 if differ or not cases else 0


def main(arguments):
    if arguments[:1] == ["--expected"] and len(arguments) == 2:
        return expected(arguments[1])
    pinned, key, packs = [], None, []
    words = iter(arguments)
    try:
        for word in words:
            if word == "--pinned":
                with open(next(words), encoding="utf-8") as file:
                    pinned.append(file.read())
            elif word == "--key":
                key = base64.b64decode(next(words), validate=True)
            else:
                packs.append(word)
    except (StopIteration, OSError, ValueError):
        packs = []
    if len(packs) != 1:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    pack = Pack(packs[0], pinned, key)
    found = pack.verify()
    print({0: "Checks 1 to 4 and 7 hold; 5 and 6 are `mandate verify`'s.", 1: "TAMPERED", 2: "CANNOT BE DECIDED"}[found])
    for line in (pack.tampered + pack.undecided)[:50]:
        print(f"  {line}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
