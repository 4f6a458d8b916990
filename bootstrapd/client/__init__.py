"""Acting as a machine on the wire: what a firmware would be told, take and load, through scapy and tftpy.

`firmware.walk` is the walk of one machine, `personas` what each firmware sends, `decide` what it accepts,
`rules` what is wrong with an answer, `loading` and `script` what it loads then. Only `link` and `fetch` do
I/O.
"""
