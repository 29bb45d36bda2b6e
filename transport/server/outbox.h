// What a connection has to send: whatever is ready goes into one record and one write.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <functional>

#include "base/mutex.h"
#include "transport/tls/channel.h"

namespace p11ha::transport {

/// Owned by a Connection. Any thread may put frames in; one at a time sends, and takes along what others put in
/// meanwhile.
class Outbox {
 public:
  /// `channel` is used under `channelMutex`. `stuck` is called where the client takes nothing in the time that the
  /// socket gives it; then the connection ends.
  Outbox(int socket, TlsChannel& channel, base::Mutex& channelMutex, std::function<void()> stuck)
      : socket_(socket), channel_(channel), channelMutex_(channelMutex), stuck_(std::move(stuck)) {}

  /// `fill(Buffer&)` appends frames; what it throws passes. Nothing is sent yet.
  template <class Fill>
  void post(Fill&& fill) P11HA_EXCLUDES(mutex_) {
    base::Lock lock(mutex_);
    fill(ready_);
  }
  /// Sends what is ready, unless somebody does: then that thread sends it, too. False: the connection is broken.
  bool flush() P11HA_EXCLUDES(mutex_);
  /// For who must not wait: puts in what is to be sent with whatever is about to be, or sends where the socket takes it
  /// at once; else it is dropped. True: somebody else has to flush.
  template <class Fill>
  [[nodiscard]] bool postUnlessFull(Fill&& fill) P11HA_EXCLUDES(mutex_) {
    {
      base::Lock lock(mutex_);
      if (broken_ || ready_.size() > kMuch) return false;
      if (sending_ || !ready_.empty()) {
        fill(ready_);
        return !sending_;
      }
      if (!takesMore()) return false;
      fill(ready_);
      take();
    }
    return send(false) && waiting() != 0;
  }
  /// Sends also what TLS itself has to say.
  bool flushAll() P11HA_EXCLUDES(mutex_);

  /// Bytes that the client has not taken yet.
  std::size_t waiting() const P11HA_EXCLUDES(mutex_) {
    base::Lock lock(mutex_);
    return ready_.size() + leaving_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kMuch = 64UL << 10;
  /// So much is encrypted at once: what waits to be sent is in memory once, not twice.
  static constexpr std::size_t kSlice = 256UL << 10;

  bool takesMore() const;
  /// What is ready is the caller's to send.
  void take() P11HA_REQUIRES(mutex_) {
    sending_ = true;
    std::swap(plain_, ready_);
    leaving_.store(plain_.size(), std::memory_order_relaxed);
  }
  bool send(bool all) P11HA_EXCLUDES(mutex_);
  bool sealAndSend();
  bool sendOut(const Buffer& bytes);

  const int socket_;
  TlsChannel& channel_;
  base::Mutex& channelMutex_;
  const std::function<void()> stuck_;
  mutable base::Mutex mutex_;
  Buffer ready_ P11HA_GUARDED_BY(mutex_);
  bool sending_ P11HA_GUARDED_BY(mutex_) = false;
  bool broken_ P11HA_GUARDED_BY(mutex_) = false;
  Buffer plain_;                         // of the thread that sends
  Buffer sealed_;                        // likewise
  std::atomic<std::size_t> leaving_{0};  // of plain_
};

}  // namespace p11ha::transport
