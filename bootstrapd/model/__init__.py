"""The nouns of the house, as immutable typed values; no behaviour beyond reading and writing themselves.

Every value that crosses a layer is defined here. The glossary is DESIGN.md's: machine, host, profile, layout,
image, ask, decision, boot, event, transition. Times are Unix seconds (float), sizes are bytes, unless a name
says otherwise. Users import from `bootstrapd.model`; the files inside are its chapters.
"""

from bootstrapd.model.answer import (
    Chain,
    Decision,
    DhcpReply,
    FileReply,
    LocalDisk,
    Nothing,
    Reply,
    Script,
    Silence,
    TextReply,
)
from bootstrapd.model.ask import ARCHES, Arch, Ask, Door, Feature, FileAsk, Stage
from bootstrapd.model.fleet import DiskSelector, Host, HostBook, Image, Profile, Program
from bootstrapd.model.hardware import Disk, Gpu, Hardware, Nic, Registration
from bootstrapd.model.identity import Mac
from bootstrapd.model.json import decoder, encode, event_decoder, plain
from bootstrapd.model.life import (
    Adopted,
    AnyEvent,
    BootAsked,
    ChainSent,
    Event,
    Forgotten,
    ImageSent,
    LocalBoot,
    Merged,
    Noticed,
    Refused,
    Registered,
    ScriptSent,
    State,
    Transition,
)
from bootstrapd.model.link import Link

__all__ = [
    "ARCHES",
    "Adopted",
    "AnyEvent",
    "Arch",
    "Ask",
    "BootAsked",
    "Chain",
    "ChainSent",
    "Decision",
    "DhcpReply",
    "Disk",
    "DiskSelector",
    "Door",
    "Event",
    "Feature",
    "FileAsk",
    "FileReply",
    "Forgotten",
    "Gpu",
    "Hardware",
    "Host",
    "HostBook",
    "Image",
    "ImageSent",
    "Link",
    "LocalBoot",
    "LocalDisk",
    "Mac",
    "Merged",
    "Nic",
    "Nothing",
    "Noticed",
    "Profile",
    "Program",
    "Refused",
    "Registered",
    "Registration",
    "Reply",
    "Script",
    "ScriptSent",
    "Silence",
    "Stage",
    "State",
    "TextReply",
    "Transition",
    "decoder",
    "encode",
    "event_decoder",
    "plain",
]
