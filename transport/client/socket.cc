#include "transport/client/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/quiet_thread.h"

namespace p11ha::transport {
namespace {

// The sockets of this process, for a child of fork to close. Takes no lock: whoever held it would not be in the child.
class OpenSockets {
 public:
  static OpenSockets& ofProcess() {
    static auto* const sockets = new OpenSockets;
    return *sockets;
  }

  void add(int descriptor) {
    for (Block* block = &first_;;) {
      for (std::atomic<int>& place : block->places) {
        int none = kNone;
        if (place.compare_exchange_strong(none, descriptor)) return;
      }
      Block* next = block->next.load();
      if (next == nullptr) {
        auto fresh = std::make_unique<Block>();
        if (block->next.compare_exchange_strong(next, fresh.get())) next = fresh.release();
      }
      block = next;
    }
  }
  void remove(int descriptor) {
    for (Block* block = &first_; block != nullptr; block = block->next.load()) {
      for (std::atomic<int>& place : block->places) {
        int there = descriptor;
        if (place.compare_exchange_strong(there, kNone)) return;
      }
    }
  }

 private:
  static constexpr int kNone = -1;
  struct Block {
    Block() {
      for (std::atomic<int>& place : places) place.store(kNone);
    }
    std::array<std::atomic<int>, 64> places;
    std::atomic<Block*> next{nullptr};
  };

  OpenSockets() { pthread_atfork(nullptr, nullptr, &closeInChild); }
  static void closeInChild() {
    for (Block* block = &ofProcess().first_; block != nullptr; block = block->next.load()) {
      for (std::atomic<int>& place : block->places) {
        if (const int descriptor = place.exchange(kNone); descriptor != kNone) close(descriptor);
      }
    }
  }

  Block first_;
};

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

struct Resolving {
  base::Mutex mutex;
  base::Condition done;
  bool isDone = false;
  int error = 0;
  Addresses addresses;
};

int resolve(const Endpoint& endpoint, int flags, Addresses& found) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* addresses = nullptr;
  const int error = getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &wanted, &addresses);
  found.reset(addresses);
  return error;
}

// The resolver knows no deadline: a thread that nobody waits for longer than that.
base::Result<Addresses, std::string> resolveUntil(const Endpoint& endpoint, const Patience& patience) {
  Addresses numeric;
  if (resolve(endpoint, AI_NUMERICHOST, numeric) == 0) return numeric;
  const auto resolving = std::make_shared<Resolving>();
  try {
    base::quietThread([resolving, endpoint] {
      Addresses found;
      const int error = resolve(endpoint, AI_ADDRCONFIG, found);
      base::Lock lock(resolving->mutex);
      resolving->error = error;
      resolving->addresses = std::move(found);
      resolving->isDone = true;
      resolving->done.notifyAll();
    }).detach();
  } catch (const std::system_error& error) {
    return base::Failure{std::string("its name cannot be looked up: ") + error.what()};
  }
  base::Lock lock(resolving->mutex);
  while (!resolving->isDone) {
    if (patience.ended()) return base::Failure{std::string("its name is not found in time")};
    resolving->done.waitUntil(resolving->mutex, patience.next());
  }
  if (resolving->error != 0) return base::Failure{std::string("its name: ") + gai_strerror(resolving->error)};
  return std::move(resolving->addresses);
}

std::string describe(int error) { return std::system_category().message(error); }

void setUp(int descriptor, const Endpoint& endpoint) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (endpoint.keepAlive) setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

// Nothing: it is connected.
std::string connectOne(int descriptor, const addrinfo& address, const Patience& patience) {
  if (connect(descriptor, address.ai_addr, address.ai_addrlen) == 0) return {};
  if (errno != EINPROGRESS) return describe(errno);
  for (;;) {
    if (patience.ended()) return "no answer in time";
    pollfd waiting{descriptor, POLLOUT, 0};
    const int ready = poll(&waiting, 1, patience.milliseconds());
    if (ready < 0 && errno != EINTR) return describe(errno);
    if (ready > 0) break;
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? std::string() : describe(error);
}

}  // namespace

Socket::Socket(int descriptor) : descriptor_(descriptor) {
  if (descriptor_ < 0) return;
  try {
    OpenSockets::ofProcess().add(descriptor_);
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

Socket::Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this == &other) return *this;
  reset();
  descriptor_ = std::exchange(other.descriptor_, -1);
  return *this;
}

void Socket::reset() {
  if (descriptor_ < 0) return;
  // In this order: a child forked in between closes nothing that is somebody else's.
  OpenSockets::ofProcess().remove(descriptor_);
  close(std::exchange(descriptor_, -1));
}

base::Result<Socket, std::string> connectTo(const Endpoint& endpoint, const Patience& patience) {
  auto addresses = resolveUntil(endpoint, patience);
  if (!addresses) return base::Failure{addresses.error()};
  std::string problem = "it has no address";
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    Socket socket(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol));
    if (!socket) {
      problem = describe(errno);
      continue;
    }
    setUp(socket.get(), endpoint);
    // What is left of the time is for all addresses that are left.
    Patience share = patience;
    const auto now = std::chrono::steady_clock::now();
    if (address->ai_next != nullptr) share.until = now + (patience.until - now) / 2;
    problem = connectOne(socket.get(), *address, share);
    if (problem.empty()) return socket;
  }
  return base::Failure{problem};
}

}  // namespace p11ha::transport
