#include "testbed/memberd/control.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/descriptor.h"

namespace p11ha::testbed {

namespace {

// It may have been told, and it may not.
std::string whatMayBecomeOf(const std::string& socket, const std::vector<std::string>& words) {
  if (words.empty() || words.front() == "list" || words.front() == "clients") return "";
  if (words.front() == "reload") return "it may still read its configuration again: its log tells\n";
  return "the change may still take effect: \"p11ha-memberd ctl " + socket + " list\" tells, once it answers\n";
}

}  // namespace

std::chrono::milliseconds controlPatience(const std::vector<std::string>& words) {
  return std::chrono::seconds(!words.empty() && words.front() == "reload" ? 65 : 15);
}

ControlAnswer tellAppliance(const std::string& socket, const std::vector<std::string>& words,
                            std::chrono::milliseconds patience) {
  const auto failed = [&] { return ControlAnswer{1, socket + ": " + std::generic_category().message(errno) + "\n"}; };
  const auto unanswered = [&](const std::string& why) {
    return ControlAnswer{1, socket + ": " + why + "\n" + whatMayBecomeOf(socket, words)};
  };
  const auto late =
      "no answer within " + std::to_string(patience / std::chrono::seconds(1)) + " s: is the appliance stopped?";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) return {1, socket + ": too long for a socket's name\n"};
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  const base::Descriptor connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval time{patience / std::chrono::seconds(1),
                     patience % std::chrono::seconds(1) / std::chrono::microseconds(1)};
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  if (!connection || connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    // It is told nothing: as many as may wait for it do.
    if (connection && errno == EAGAIN) return {1, socket + ": " + late + "\n"};
    return failed();
  }
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
  if (size < 0) return unanswered(errno == EAGAIN ? late : std::generic_category().message(errno));
  if (answer.size() < 2) return unanswered("it closed the connection without an answer");
  return {answer[0] - '0', answer.substr(2)};
}

}  // namespace p11ha::testbed
