#include "testbed/failing_module/listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/quiet_thread.h"

namespace p11ha::testbed {
namespace {

constexpr int kBacklog = 16;
constexpr timeval kRequestTimeout{2, 0};
constexpr std::size_t kLongestRequest = 64;

// Distinguishes the copies of this library in one process.
const char kCopy = 0;

std::string ownName() {
  char name[64];
  std::snprintf(name, sizeof name, "%ld-%lx.sock", static_cast<long>(getpid()),
                reinterpret_cast<unsigned long>(&kCopy));
  return name;
}

}  // namespace

base::Result<bool, std::string> Listener::start(const ControlDir& dir, Answer answer) {
  name_ = ownName();
  answer_ = std::move(answer);
  dir.remove(name_);  // of an earlier process with our number
  socket_ = base::Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  stop_ = base::Descriptor(eventfd(0, EFD_CLOEXEC));
  // It has its name when it listens: a socket that answers nobody is taken for one that a dead process left, and
  // removed.
  const std::string unfinished = name_ + ".new";
  dir.remove(unfinished);
  const sockaddr_un address = dir.address(unfinished);
  if (!socket_ || !stop_ || bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(address.sun_path, 0600) != 0 || listen(socket_.get(), kBacklog) != 0 || !dir.rename(unfinished, name_)) {
    return base::Failure{"cannot listen at " + name_ + ": " + std::generic_category().message(errno)};
  }
  thread_ = base::quietThread([this] { run(); });
  return true;
}

void Listener::stop() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
  abandon();
}

void Listener::abandon() {
  socket_.reset();
  stop_.reset();
}

void Listener::run() {
  while (true) {
    pollfd waiting[] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    if (waiting[0].revents == 0) continue;
    const base::Descriptor connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve(connection.get());
  }
}

void Listener::serve(int connection) {
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &kRequestTimeout, sizeof kRequestTimeout);
  setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &kRequestTimeout, sizeof kRequestTimeout);
  std::string request;
  while (request.size() < kLongestRequest && !request.ends_with('\n')) {
    char byte = 0;
    if (recv(connection, &byte, 1, 0) != 1) return;
    request += byte;
  }
  request.pop_back();
  const std::string answer = answer_(request);
  std::string_view left = answer;
  while (!left.empty()) {
    const ssize_t n = send(connection, left.data(), left.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    left.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace p11ha::testbed
