"""Acting as a machine on the wire: what a firmware would be told, take and load, through scapy and tftpy.

`firmware.walk` is the walk of one machine, `personas` what each firmware sends, `decide` what it accepts,
`rules` and `surroundings` what is wrong with it, `loading` and `script` what it loads then. Only `link` and
`fetch` do I/O.
"""

import logging

for _name in (
    "scapy.loading",
    "scapy.runtime",
):  # what this machine lacks for scapy's other uses is no news here
    logging.getLogger(_name).setLevel(logging.ERROR)
