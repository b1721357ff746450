"""The packets of kept claims as they are asked for: made in a process of their own, one at a time, and kept on disk.

Drawing the key images of a large study takes seconds and memory, which whoever else asks the node shall not notice. A
packet that is made again has the same bytes, so that nothing has to be remembered of one that was broken off.
"""

from __future__ import annotations

import signal
import warnings
from dataclasses import dataclass
from threading import BoundedSemaphore

from claims.claim import ClaimRefusal
from claims.packet import MANIFEST_NAME
from inference.errors import Failure, Refusal
from server.claims.packets import KeptPacket, bring_up_to_date, kept_packet
from server.compose import Node, open_node
from server.events import configure, fault
from server.kernel import Ended, Kernel, Value, Work
from server.memory import keep_freed_memory
from server.operations import NotThere
from server.settings import Settings

MOST_WAITING = 4
"""Requests that wait for a packet; each holds a thread, of which the web role has forty."""
LONGEST_S = 600.0
TRIES = 4
"""Where a claim is judged anew while its packet is made, the packet is made of what it came to."""


class Packets:
    """The packets of one node."""

    def __init__(self, node: Node) -> None:
        """No process is started before the first packet is asked for."""
        self.node = node
        url = node.engine.url.render_as_string(hide_password=False)
        factory = PacketFactory(settings=node.settings.model_copy(update={"database_url": url}))
        self._kernel = Kernel(factory, timeout=LONGEST_S)
        self._places = BoundedSemaphore(MOST_WAITING)

    def of(self, claim_id: str) -> KeptPacket:
        """The packet of what there is now, made where it is not there yet.

        Raises:
            NotThere: no such claim.
            Refusal: the claim cannot be judged, or what there is does not make a packet.
            Failure: others wait for theirs, or the process that makes it died; the same again may do.
        """
        bring_up_to_date(self.node, claim_id)
        for _ in range(TRIES):
            packet = kept_packet(self.node, claim_id)
            if packet is not None:
                return packet
            self._make(claim_id)
        raise Failure("The claim was judged again while its packet was made; ask again.")

    def file(self, claim_id: str, name: str) -> bytes:
        """One file of the packet of the newest evaluation, or its manifest.

        Raises:
            NotThere: no such claim, or the packet has no file of that name.
            Refusal: as of the packet.
            Failure: as of the packet.
        """
        packet = kept_packet(self.node, claim_id) or self.of(claim_id)
        if name == MANIFEST_NAME:
            return packet.manifest
        if name not in packet.names:
            raise NotThere(f"The packet of claim {claim_id} has no file {name!r}.")
        return self.node.spool.path(f"{packet.folder}/{name}").read_bytes()

    def stop(self) -> None:
        """End the process; what it was making is made again when it is asked for."""
        self._kernel.stop()

    def _make(self, claim_id: str) -> None:
        if not self._places.acquire(blocking=False):
            raise Failure("Packets of other claims are being made; ask again in a minute.")
        try:
            answer = self._kernel.call({"claim": claim_id})
        finally:
            self._places.release()
        if isinstance(answer, Ended):
            fault("packet_fault", reason=answer.reason)
            raise Failure("The packet could not be made: the process that makes it ended. Ask again.")
        if answer["state"] == "failed":
            raise Failure("The packet could not be made; the log has the place.")
        if answer["state"] == "refused":
            raise (ClaimRefusal if answer["of_claim"] else Refusal)(answer["reason"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketFactory:
    """Makes the child's work; picklable, because the child is spawned."""

    settings: Settings

    def __call__(self) -> Work:
        """Connect, in the child."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        configure(self.settings.log_level)
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may identify a patient
        keep_freed_memory()
        node = open_node(self.settings)
        return lambda request: _answer(node, str(request["claim"]))


def _answer(node: Node, claim_id: str) -> Value:
    from server.claims.packet_making import make_kept_packet  # noqa: PLC0415 - it draws: not in the web process

    try:
        if kept_packet(node, claim_id) is None:
            make_kept_packet(node, claim_id)
    except Refusal as refusal:
        return {"state": "refused", "reason": refusal.sentence, "of_claim": isinstance(refusal, ClaimRefusal)}
    except Exception as error:  # noqa: BLE001 - the boundary of one packet: no fault of it may reach another
        fault("packet_fault", error)
        return {"state": "failed"}
    return {"state": "done"}
