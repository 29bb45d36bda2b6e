#include "testbed/memberd/control.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "transport/server/descriptor.h"

namespace p11ha::testbed {

ControlAnswer tellAppliance(const std::string& socket, const std::vector<std::string>& words) {
  const auto failed = [&] { return ControlAnswer{1, socket + ": " + std::generic_category().message(errno) + "\n"}; };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) return {1, socket + ": too long for a socket's name\n"};
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  const transport::Descriptor connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection || connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return failed();
  std::string line;
  for (const std::string& word : words) {
    if (word.find_first_of("\t\n") != std::string::npos) return {2, "a word cannot hold tabs or line breaks\n"};
    line += (line.empty() ? "" : "\t") + word;
  }
  line += '\n';
  if (send(connection.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return failed();
  std::string answer;
  char piece[4096];
  ssize_t size = 0;
  while ((size = recv(connection.get(), piece, sizeof piece, 0)) > 0)
    answer.append(piece, static_cast<std::size_t>(size));
  if (answer.size() < 2) return {1, socket + ": no answer\n"};
  return {answer[0] - '0', answer.substr(2)};
}

}  // namespace p11ha::testbed
