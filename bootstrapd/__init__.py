"""bootstrapd: rack a server, plug it in, power it on, walk away.

The layers, top to bottom, are cli, daemon, {config, edge, client}, {wire, policy}, model, errors;
a layer imports only what stands below it, and equal layers are strangers.
"""

__version__ = "0.1.0"
