// A connection that a worker serves, from its handshake to its end.
#pragma once

#include <deque>
#include <unordered_map>

#include "base/descriptor.h"
#include "transport/server/access.h"
#include "transport/server/message.h"
#include "transport/server/outbox.h"
#include "transport/server/served_token.h"
#include "transport/server/task.h"

namespace p11ha::transport {

class Worker;

/// Shared by its reading thread, the tasks in flight and the worker's list.
///
/// One thread at a time reads: it decrypts, cuts frames, and makes cheap calls itself, one after another. If one of
/// those takes long after all, the pulse takes the duty of reading from it (relieve()), and the thread, when it comes
/// back, has only its answer to send.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Worker& worker, HandedConnection handed, base::Descriptor socket, SSL_CTX& context,
             const ServerLimits& bounds);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::uint64_t id() const { return handed_.id; }
  /// The partition; null: only the list was wanted, or the greeting is not done.
  ServedToken* token() const { return token_.load(std::memory_order_acquire); }
  bool greeted() const { return greeted_.load(std::memory_order_acquire); }

  /// Begins, on a thread of its own. False: there is none.
  bool start();
  /// Ends it; the client is told why, if it listens. Any thread; does not wait.
  void drop(const Goodbye& goodbye);
  /// Takes no further request, answers those in flight, says goodbye, ends. Any thread; does not wait.
  void drain();

  /// The pulse's part. None of it waits.
  void heartbeat();
  void relieve();
  /// A call that the module has had for longer than it may: its function, and for how long in ms.
  struct Overdue {
    cryptoki::Fn fn{};
    std::int64_t milliseconds = 0;
  };
  std::optional<Overdue> overdue(std::int64_t now, const ServerLimits& limits) const P11HA_EXCLUDES(mutex_);

  void tell(const StateChange& change);
  std::size_t inFlight() const P11HA_EXCLUDES(mutex_);

 private:
  /// Of requests in flight, and of answers that the client does not take: then it is not read from.
  static constexpr std::size_t kMostHeld = 64UL << 20;
  static constexpr std::chrono::milliseconds kLook{20};  // at whether there is room again

  enum class Turn : std::uint8_t { Reader, Relieved };

  void serve();
  bool shakeHands();
  std::optional<Goodbye> greet();
  std::optional<Frame> firstFrame(base::Monotonic until);
  bool feedUntil(base::Monotonic until);
  bool decrypt();
  void refuse(const std::string& why);
  bool endsOver(const std::string& why) P11HA_EXCLUDES(mutex_);
  void flushElsewhere();
  void sayGoodbye(const Goodbye& goodbye);
  void linger();

  void read();
  bool receive();
  bool takeFrames();
  bool takeFrame(const Frame& frame, std::size_t batch);
  bool takeRequest(const Frame& frame, std::size_t batch);
  bool protocolError(const std::string& why);
  void waitForRoom();
  Turn runReady();
  bool run(Task& task);
  bool charge(Task& task, std::size_t room) P11HA_EXCLUDES(mutex_);
  std::optional<DecodeError> decode(Task& task, std::optional<cryptoki::Call>& init,
                                    std::optional<cryptoki::Call>& call, bool& finished);
  void finish(TaskPtr task);
  void hand(TaskPtr task, bool slow);
  void end();
  void closeSessions();

  Worker& worker_;
  const HandedConnection handed_;
  const base::Descriptor socket_;
  const ServerLimits bounds_;
  base::Mutex channelMutex_;
  TlsChannel channel_;  // under channelMutex_
  Outbox outbox_;
  ClientIdentity client_;
  std::string application_;
  Limits limits_;
  std::uint32_t maxInFlight_ = 0;
  std::atomic<ServedToken*> token_{nullptr};
  std::atomic<bool> greeted_{false};
  std::atomic<bool> draining_{false};

  std::atomic<std::uint64_t> arrived_{0};  // bytes of frames, without the greeting's
  std::atomic<bool> holdsBack_{false};     // reads nothing, so that what it has becomes less

  // The reader's.
  FrameReader frames_;
  std::vector<std::uint8_t> cipher_;
  std::vector<Frame> batch_;
  std::shared_ptr<void> lingering_;  // an activity of the worker, to this connection's end
  unsigned companyFor_ = 0;          // so many heavy calls more are taken to come in company

  /// What the reader itself is about to run, in order; the next reader finds it here.
  std::deque<TaskPtr> ready_ P11HA_GUARDED_BY(mutex_);
  /// The call that the reader is making: a number that never comes again. 0: it reads.
  std::atomic<std::uint64_t> direct_{0};
  std::uint64_t directCalls_ = 0;  // the reader's
  std::uint64_t directSeen_ = 0;   // the pulse's

  mutable base::Mutex mutex_;
  base::Condition room_;
  std::unordered_map<std::uint32_t, Task*> inFlight_ P11HA_GUARDED_BY(mutex_);
  std::size_t held_ P11HA_GUARDED_BY(mutex_) = 0;     // bytes of requests in flight
  std::size_t charged_ P11HA_GUARDED_BY(mutex_) = 0;  // bytes that their answers may take
  bool ended_ P11HA_GUARDED_BY(mutex_) = false;
  std::string why_ P11HA_GUARDED_BY(mutex_);  // it was dropped
};

}  // namespace p11ha::transport
