"""The container: namespaces, a root of its own, and its process 1.

A program of its own, started by path as ``python -I -S sandbox OPTIONS -- PROGRAM ARGUMENT...``. It imports
nothing outside the standard library and this folder, and that before anything else, because it stays alive
inside a root where neither it nor its interpreter can be seen. Its environment is the program's. With
namespaces it is two processes:

    the harness ── sandbox (waits, forwards signals) ── init (process 1 of the container) ── the program

and what the program sees is

* ``/usr /etc /bin /lib ...``: this machine's, with the image's files laid over them. Writes are private and
  vanish with the container.
* every other folder: only what the image, the interpreter and the mounts put there. In particular no home
  folder, hence nobody's credentials.
* its own processes, host name, loopback interface and nothing else of a network; no capabilities beyond those
  Docker leaves a container.

Without namespaces (``--no-namespaces``) it is one process that starts the program as it is, and sees to it
that all descendants die with it.

`start` leads from the command line (`options`) over the new root (`root`) to process 1 (`init`), which starts
the program (`program`) and minds what comes of it (`processes`). `kernel` has the system calls. Functions use
it as well, in interpreters of their own: it keeps to Python 3.10 and imports nothing of its neighbours.

Every import costs each container a fraction of its start: hence no typing, no re, no shutil.
"""
