"""The template process: environments of functions are forked from it.

Importing boto3 and parsing the service models costs the better part of a second; a fork costs two
milliseconds. So one process per interpreter does the former once, and every environment is a fork of it,
which then becomes what AWS starts: a process in its own file system with nothing but Lambda's environment,
that runs AWS's runtime interface client.

This folder is run by path, in the function's interpreter (Python 3.10 or later), where `harness` cannot be
imported: it uses the standard library, the sandbox's system calls, `awslambdaric` and `boto3`, and nothing
else. Of its modules the harness itself imports `layout` alone.

``sys.argv[1]`` is a JSON object:

``stage``     ``isolate``: make the file system, then run this folder again in it; ``serve``: answer requests.
``sandbox``   folder of the sandbox, for its system calls.
``socket``    file descriptor of a Unix stream socket to the harness.
``runtime``   folder with awslambdaric and boto3.
``warm``      services whose models are read ahead.
``prefix``    (isolate) installation folder of the interpreter.
``packages``  folder under which code and merged layers lie unpacked; requests name them relative to it.
``cache``     folder for compiled bytecode, one folder per function in it; or null.
``root``      (isolate) empty folder to build the new root in.
``isolated``  (serve) whether the first stage has been through.
``host_proc`` (serve) file descriptor of the machine's own /proc, or null.

On the socket, both ways, messages are JSON objects after their length as four bytes, big-endian:

    -> {"spawn": id, "code", "layers", "cache", "handler", "environment", "storage"}
       with a file descriptor, for what the environment writes
    -> {"kill": id}
    <- {"ready": version}
    <- {"spawned": id, "pid": as the harness sees it, "resident": bytes, as it begins}
    <- {"exited": id, "status": exit code, negative for a signal}

The end of the socket is the end of the template process and of everything it has started.
"""
