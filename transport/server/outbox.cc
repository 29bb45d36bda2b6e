#include "transport/server/outbox.h"

#include <poll.h>

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
    sending_ = true;
    std::swap(plain_, ready_);
  }
  return send(true);
}

// What is in plain_; with `all`, also what comes meanwhile.
bool Outbox::send(bool all) {
  while (true) {
    bool good = true;
    {
      base::Lock lock(channelMutex_);
      good = plain_.empty() || channel_.write(plain_.bytes()) == TlsChannel::Status::Good;
      std::swap(sealed_, channel_.outgoing());
    }
    plain_.clear();
    good = good && sendOut(sealed_);
    sealed_.clear();
    base::Lock lock(mutex_);
    if (!good) {
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
    std::swap(plain_, ready_);
  }
}

}  // namespace p11ha::transport
