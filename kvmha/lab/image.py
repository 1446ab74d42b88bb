"""The image that all nodes of all labs stand on: one Debian root per suite, built once and kept.

An image is built in a folder of its own name and gets its real name when it is whole, under a lock. The build runs in
process and mount namespaces that die with us, so that nothing of it goes on after a crash; what it left is removed by
the next build.
"""

from __future__ import annotations

import os
import re
import shutil

from kvmha.host import CommandTimeout
from kvmha.lab import initramfs, lines, recipe
from kvmha.lab.lock import Lock
from kvmha.lab.plan import LabError, cache_folder, state_folder
from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host

    Progress = Callable[[str, str], None]

GIB = 1024**3
IMAGE_SPACE = 3 * GIB
BUILD_TIMEOUT = 1800.0


class Image(Record):
    """A Debian root (``root``), the kernel and modules for guests (``guest``), and those for nodes (``uml``)."""

    suite: str
    folder: str

    @property
    def root(self) -> str:
        """The file system of a node."""
        return f"{self.folder}/root"

    @property
    def guest(self) -> str:
        """The folder with the guest's kernel, its modules, and what was made of them."""
        return f"{self.folder}/guest"

    @property
    def uml(self) -> str:
        """The folder with the kernel of nodes on User Mode Linux, linux.uml, and its modules as a layer of a root.

        It is not there for a suite that has no such kernel.
        """
        return f"{self.folder}/uml"


def image_of(suite: str) -> Image:
    """Return the image of a suite, built or not."""
    return Image(suite=suite, folder=f"{cache_folder()}/{suite}-{recipe.key(suite)}")


def ensure(host: Host, suite: str, progress: Progress) -> Image:
    """Return the image of a suite, after building it if need be. Raises LabError, CommandError."""
    image = image_of(suite)
    with Lock(host, f"{cache_folder()}/{suite}.lock", wait=BUILD_TIMEOUT, busy=f"another run is building {suite}"):
        if not host.exists(image.folder):
            _build(host, image, progress)
    return image


def remove_abandoned(host: Host) -> None:
    """Remove what builds have left that did not end; those at work are left alone."""
    for name in host.names(cache_folder()):
        if name.startswith("building-"):
            suite = name[len("building-") :]
            try:
                with Lock(host, f"{cache_folder()}/{suite}.lock", wait=0.0, busy=""):
                    shutil.rmtree(f"{cache_folder()}/{name}", ignore_errors=True)
            except LabError:
                continue


def isolated_argv(*argv: str) -> tuple[str, ...]:
    """Return a command that takes its children and its mounts with it, and that dies when the calling process does."""
    # fmt: off
    return (
        "setpriv", "--pdeathsig", "KILL",
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--",
        *argv,
    )
    # fmt: on


def why_no_space(folder: str, needed: int) -> str | None:
    """Tell that the disk that holds, or will hold, ``folder`` has too little space, or return None."""
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free >= needed:
        return None
    return f"{folder} has {free / GIB:.1f} GiB free, and {needed / GIB:.1f} GiB are needed"


def _build(host: Host, image: Image, progress: Progress) -> None:
    reason = why_no_space(image.folder, IMAGE_SPACE)
    if reason:
        raise LabError(f"no room for the image: {reason}; free some, or name another folder in KVMHA_LAB_CACHE")
    draft = Image(suite=image.suite, folder=f"{cache_folder()}/building-{image.suite}")
    log = f"{cache_folder()}/{image.suite}.log"
    shutil.rmtree(draft.folder, ignore_errors=True)
    os.makedirs(draft.folder)
    try:
        host.write(f"{draft.folder}/customize", recipe.customize_script(), mode=0o755)
        _bootstrap(host, draft, log, progress)
        progress("image", "setting up")
        for path, text in recipe.FILES.items():
            host.write(f"{draft.root}{path}", text)
        _keep_kernel(draft)
        _keep_uml(draft)
        os.rename(draft.folder, image.folder)
        _remove_older(host, image)
    except BaseException:
        shutil.rmtree(draft.folder, ignore_errors=True)
        raise


def _remove_older(host: Host, image: Image) -> None:
    """Remove images of the suite that older recipes made, unless nodes of a lab stand on them."""
    grounds = [f"{state_folder()}/{name}/ground.json" for name in host.names(state_folder())]
    used = " ".join(host.read(path) for path in grounds if host.exists(path))
    for name in host.names(cache_folder()):
        folder = f"{cache_folder()}/{name}"
        if name.startswith(f"{image.suite}-") and folder not in used and folder != image.folder:
            shutil.rmtree(folder)


def _bootstrap(host: Host, draft: Image, log: str, progress: Progress) -> None:
    argv = recipe.mmdebstrap_argv(draft.suite, draft.root, f"{draft.folder}/customize")
    reader = ProgressReader()
    with open(log, "w", encoding="utf-8") as file:

        def each(line: str) -> None:
            file.write(line + "\n")
            said = reader.read(line)
            if said:
                progress("image", said)

        try:
            code = lines.run(host, *isolated_argv(*argv), each=each, timeout=BUILD_TIMEOUT, env=proxies())
        except CommandTimeout as error:
            raise LabError(f"{error}; is the Debian mirror slow? The whole story is in {log}") from error
    if code != 0:
        raise LabError(f"no image of {draft.suite}: {reader.error or 'mmdebstrap failed'}; the whole story is in {log}")


class ProgressReader:
    """Turn the talk of mmdebstrap and apt into a few words for a person."""

    def __init__(self) -> None:
        self.packages = 0
        self.done = 0
        self.error = ""

    def read(self, line: str) -> str:
        """Return what to show after this line, or nothing."""
        found = re.search(r"(\d+) newly installed", line)
        if found:
            # apt is called for the essential packages and for the rest, and says each time how many there are.
            self.packages += int(found[1])
            return f"{self.packages} packages"
        if line.startswith("Setting up "):
            self.done += 1
            name = line.split()[2].partition(":")[0]
            return f"installing {min(self.done, self.packages)}/{self.packages}: {name}"
        if line.startswith(("E: ", "Err:")):
            # The first error is the cause, and the later ones tell what could not go on because of it.
            self.error = self.error or line.partition(":")[2].strip()
        if line.startswith("I: "):
            return line[3:].rstrip(".")
        if line.startswith("Get:"):
            words = line.split()
            return f"downloading {words[4]}" if len(words) > 4 else ""
        return ""


def _keep_kernel(draft: Image) -> None:
    """Keep of the unpacked kernel package what guests need: the kernel and a few modules, numbered as they load."""
    unpacked = f"{draft.root}/var/lib/kvmha/kernel"
    os.makedirs(f"{draft.guest}/modules")
    kernels = [name for name in os.listdir(f"{unpacked}/boot") if name.startswith("vmlinuz-")]
    shutil.move(f"{unpacked}/boot/{kernels[0]}", f"{draft.guest}/vmlinuz")
    folder = initramfs.module_folder(unpacked)
    if folder is None:
        raise LabError(f"the kernel package of {draft.suite} has no folder of modules, so no guest could be reached")
    for number, (name, content) in enumerate(initramfs.modules(folder, recipe.GUEST_MODULES)):
        with open(f"{draft.guest}/modules/{number:02d}-{name}", "wb") as file:
            file.write(content)
    shutil.rmtree(unpacked)


def _keep_uml(draft: Image) -> None:
    """Move the kernel for nodes and its modules out of the root, which nodes without it share."""
    unpacked = f"{draft.root}/var/lib/kvmha/uml"
    if not os.path.isdir(unpacked):
        return
    layer = f"{draft.uml}/layer/usr/lib"
    os.makedirs(layer)
    shutil.move(f"{unpacked}/usr/bin/linux.uml", f"{draft.uml}/linux.uml")
    shutil.move(f"{unpacked}/usr/lib/uml/modules", f"{layer}/modules")
    shutil.rmtree(unpacked)


def proxies() -> dict[str, str]:
    """Return the variables by which apt learns of a proxy."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: os.environ[name] for name in names if name in os.environ}
