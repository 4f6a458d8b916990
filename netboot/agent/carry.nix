# Shell: carries what the appliance's overlay laid into the initrd's root over to the system that is about to start.
# Stage 1 throws its root away. For any POSIX sh; it never stops a boot: a system without an overlay starts as well,
# and its agent says what it misses.
{
  from ? "", # the initrd's root
  to, # the mounted system
  keys, # root's SSH keys too
}:
''
  if [ -d ${from}/bootstrapd ]; then
    mkdir -p ${to}/bootstrapd &&
      chmod 700 ${to}/bootstrapd &&
      cp -R ${from}/bootstrapd/. ${to}/bootstrapd/ ||
      echo "bootstrapd: could not carry the overlay over: this system cannot register"
  fi
''
+ (
  if keys then
    ''
      if [ -s ${from}/ssh/authorized_keys ]; then
        mkdir -p ${to}/root/.ssh &&
          chmod 700 ${to}/root ${to}/root/.ssh &&
          cat ${from}/ssh/authorized_keys >>${to}/root/.ssh/authorized_keys &&
          chmod 600 ${to}/root/.ssh/authorized_keys ||
          echo "bootstrapd: could not carry root's SSH keys over: the appliance cannot log in"
      fi
    ''
  else
    ""
)
