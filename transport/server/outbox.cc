#include "transport/server/outbox.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace p11ha::transport {

bool Outbox::takesMore() const {
  pollfd waiting{socket_, POLLOUT, 0};
  return poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLOUT) != 0;
}

bool Outbox::sendOut(const Buffer& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) stuck_();
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

bool Outbox::flush() {
  {
    base::Lock lock(mutex_);
    if (broken_) return false;
    if (ready_.empty()) return true;
  }
  return flushAll();
}

bool Outbox::flushAll() {
  {
    base::Lock lock(mutex_);
    if (sending_) return true;
    if (broken_) return false;
    take();
  }
  return send(true);
}

// What is in plain_, and what TLS itself has to say.
bool Outbox::sealAndSend() {
  std::span<const std::uint8_t> left = plain_.bytes();
  do {
    const auto slice = left.first(std::min(left.size(), kSlice));
    left = left.subspan(slice.size());
    {
      base::Lock lock(channelMutex_);
      if (!slice.empty() && channel_.write(slice) != TlsChannel::Status::Good) return false;
      std::swap(sealed_, channel_.outgoing());
    }
    if (!sendOut(sealed_)) return false;
    sealed_.clear();
    leaving_.store(left.size(), std::memory_order_relaxed);
  } while (!left.empty());
  return true;
}

// What is in plain_; with `all`, also what comes meanwhile.
bool Outbox::send(bool all) {
  while (true) {
    const bool good = sealAndSend();
    plain_.clear();
    base::Lock lock(mutex_);
    leaving_.store(0, std::memory_order_relaxed);
    if (!good) {
      sealed_.clear();
      broken_ = true;
      sending_ = false;
      // Whoever reads learns of it.
      ::shutdown(socket_, SHUT_RDWR);
      return false;
    }
    if (ready_.empty() || !all) {
      sending_ = false;
      return true;
    }
    take();
  }
}

}  // namespace p11ha::transport
