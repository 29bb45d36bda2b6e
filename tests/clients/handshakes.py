"""TLS handshakes on several threads, each with the server's certificate and its proof of the key verified.

usage: handshakes.py PORT CA.pem THREADS COUNT|-

One line for each: "ok PROTOCOL", or "failed" and why. With "-" in place of a count it goes on until its standard input ends.
"""
import itertools
import socket
import ssl
import sys
import threading

port, ca, threads, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
turns = itertools.count() if count == "-" else iter(range(int(count)))
lock = threading.Lock()
over = threading.Event()


def handshake(context):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if not tls.recv(1):
                return "failed no answer"
            return f"ok {tls.version()}"


def work():
    context = ssl.create_default_context(cafile=ca)
    while not over.is_set():
        with lock:
            if next(turns, None) is None:
                return
        try:
            line = handshake(context)
        except OSError as error:
            line = f"failed {error}"
        with lock:
            print(line, flush=True)


pool = [threading.Thread(target=work) for _ in range(threads)]
for thread in pool:
    thread.start()
if count == "-":
    sys.stdin.read()
    over.set()
for thread in pool:
    thread.join()
