// p11ha-tls-ping-server: answers so many bytes with so many others, over TLS, a thread for each connection.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "testbed/tls_ping/tls.h"

namespace {

using namespace p11ha::testbed;

constexpr char kUsage[] =
    "usage: p11ha-tls-ping-server CA CERTIFICATE KEY\n"
    "\n"
    "Listens on a free port of 127.0.0.1, which it prints, and answers each P11HA_PING_REQUEST bytes (35) of a client\n"
    "with P11HA_PING_ANSWER bytes (65). For p11ha-tls-ping.so: what TLS and the network cost alone.\n";

int failed(const std::string& why) {
  std::fprintf(stderr, "p11ha-tls-ping-server: %s\n", why.c_str());
  return 1;
}

void serve(SSL_CTX* context, int socket) {
  const PingSizes sizes = pingSizes();
  std::vector<unsigned char> request(sizes.request);
  const std::vector<unsigned char> answer(sizes.answer, 0x5A);
  const PingConnection connection(SSL_new(context));
  SSL_set_fd(connection.get(), socket);
  if (SSL_accept(connection.get()) == 1) {
    while (receiveAll(connection.get(), request.data(), request.size()) &&
           sendAll(connection.get(), answer.data(), answer.size())) {
    }
  }
  close(socket);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (argc != 4) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const auto context = makePingContext(true, {argv[1], argv[2], argv[3]});
  if (!context) return failed(context.error());
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 512) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return failed("cannot listen");
  }
  std::printf("%u\n", unsigned{ntohs(address.sin_port)});
  std::fflush(stdout);
  while (true) {
    const int socket = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::thread(&serve, context.value().get(), socket).detach();
  }
}
