// One connection to a member, with many calls in flight.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cryptoki/member.h"
#include "transport/client/lateness.h"
#include "transport/client/signal.h"
#include "transport/client/socket.h"
#include "transport/codec/request.h"
#include "transport/tls/channel.h"
#include "transport/wire/greeting.h"

namespace p11ha::transport {

/// How long a link waits for a sign of life: HeartbeatInterval x HeartbeatMisses.
struct LinkPolicy {
  std::chrono::milliseconds silence{2000};
};

/// An Init that goes with the call it was held back for: as encodeRequest() made it, and where its outputs go.
struct HeldInit {
  std::span<const std::uint8_t> request;
  const Outputs* outputs = nullptr;
};

/// What became of a call and of the Init that went with it.
struct LinkAnswer {
  cryptoki::Outcome outcome;
  CK_RV initRv = CKR_OK;  // if that is not CKR_OK, the call itself was not made
};

/// A connection whose greeting is done. Any thread; lives until nobody is in it any more.
///
/// There is no thread of its own: a caller writes its request itself, together with those that others have got ready
/// meanwhile, and one of the callers that wait reads for all of them. Whoever's answer comes is woken, and nobody else;
/// a reader that has its own hands the duty on. While nobody calls, tend() reads.
///
/// Once it has failed it stays so: every call is answered NotSent, if nothing of it had left this process, or Unknown.
class Link {
 public:
  /// `frames` may hold what came behind the greeting. `state`: of the partition, by the greeting.
  Link(Socket socket, TlsChannel channel, std::unique_ptr<FrameReader> frames, const Greeting& greeting,
       PartitionState state, const LinkPolicy& policy);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Makes a call and waits for its answer, until then at most: the server is then told that nobody waits any more, and
  /// the link goes on. What cannot be encoded is answered here, as encodeRequest() says; with CKR_FUNCTION_CANCELED
  /// what found no place beside the requests of others. May throw std::bad_alloc, and then nothing was sent.
  LinkAnswer call(const cryptoki::Call& call, const HeldInit* init, base::Monotonic deadline) P11HA_EXCLUDES(mutex_);
  /// The same for a call that is encoded already.
  LinkAnswer call(cryptoki::Fn fn, std::span<const std::uint8_t> request, const Outputs& outputs,
                  base::Monotonic deadline) P11HA_EXCLUDES(mutex_);

  /// Reads what has come while nobody calls, and notices a server that has gone or fallen silent. From time to time, at
  /// least three times within `LinkPolicy::silence`; does not wait.
  void tend() P11HA_EXCLUDES(mutex_);

  /// Ends it: with a word to the server where that can be had without waiting. Calls in flight fail.
  void close(const std::string& why) P11HA_EXCLUDES(mutex_);

  /// False: it has failed, or the server has said that it ends.
  bool usable() const { return usable_.load(std::memory_order_acquire); }
  /// Why it failed, for a log line.
  std::string failure() const P11HA_EXCLUDES(mutex_);
  const Limits& limits() const { return limits_; }
  /// How long it waits for a sign of life.
  base::Monotonic::duration silence() const { return silence_; }
  /// How often the server has said that the partition's state has changed.
  std::uint32_t stateChanges() const { return stateChanges_.load(std::memory_order_acquire); }
  PartitionState partitionState() const { return partitionState_.load(std::memory_order_acquire); }

 private:
  // A call in flight, on its caller's stack.
  struct Pending {
    explicit Pending(base::Monotonic until) : deadline(until) {}

    const base::Monotonic deadline;
    std::uint16_t opcode = 0;
    const Outputs* outputs = nullptr;
    const Outputs* initOutputs = nullptr;  // null: without an Init
    std::uint64_t begin = 0;               // its first byte's place in all that was ever sent
    std::uint64_t end = 0;                 // likewise, behind its last
    base::Monotonic::duration heardAt{};   // by listened_
    bool isDone = false;
    LinkAnswer answer;
    Signal signal;
    // Among those that sleep.
    bool asleep = false;
    Pending* before = nullptr;
    Pending* after = nullptr;
  };
  // By request id: the lower bits say where, the others that it is the same request still.
  struct Place {
    std::uint32_t id = 0;
    bool taken = false;
    Pending* pending = nullptr;  // null though taken: its caller waits no longer, the answer is still to come
  };

  template <class Fill>
  LinkAnswer make(Pending& own, Fill&& fill) P11HA_EXCLUDES(mutex_);
  Place* enter(Pending& own) P11HA_REQUIRES(mutex_);
  void leave(Place& place) P11HA_REQUIRES(mutex_);
  void wait(Pending& own, std::uint32_t id, bool reads) P11HA_EXCLUDES(mutex_);
  void giveUp(Pending& own, std::uint32_t id) P11HA_REQUIRES(mutex_);

  void send(const Pending* own) P11HA_REQUIRES(mutex_);
  void sendRest() P11HA_REQUIRES(mutex_);
  bool isUnsent() const P11HA_REQUIRES(mutex_);
  bool seal() P11HA_REQUIRES(mutex_);
  int sendSealed(const Pending* own) P11HA_EXCLUDES(mutex_);
  int waitForRoom(const Pending& own) P11HA_EXCLUDES(mutex_);

  void read(Pending& own) P11HA_REQUIRES(mutex_);
  enum class Receipt : std::uint8_t { Some, Nothing, Ended };
  Receipt receive(int flags) P11HA_REQUIRES(mutex_);
  void take(std::span<const std::uint8_t> bytes) P11HA_REQUIRES(mutex_);
  bool takeFrames() P11HA_REQUIRES(mutex_);
  bool takeFrame(const Frame& frame) P11HA_REQUIRES(mutex_);
  bool takeAnswer(const Frame& frame) P11HA_REQUIRES(mutex_);
  bool takeControl(const Frame& frame) P11HA_REQUIRES(mutex_);
  void handOn() P11HA_REQUIRES(mutex_);
  void sleepers(Pending& own, bool asleep) P11HA_REQUIRES(mutex_);

  void listened() P11HA_REQUIRES(mutex_);
  bool isSilent() const P11HA_REQUIRES(mutex_);
  bool takeHeartbeat(const Heartbeat& heartbeat) P11HA_REQUIRES(mutex_);
  bool isTrickling(base::Monotonic::duration late) const P11HA_REQUIRES(mutex_);
  bool isTaken(std::uint64_t arrived) P11HA_REQUIRES(mutex_);
  Place* find(std::uint32_t id) P11HA_REQUIRES(mutex_);
  void finish(Pending& pending) P11HA_REQUIRES(mutex_);
  void fail(const std::string& why) P11HA_REQUIRES(mutex_);

  static constexpr std::size_t kReceived = 64UL << 10;

  const Socket socket_;
  const Limits limits_;
  const std::size_t most_;  // requests in flight
  const base::Monotonic::duration silence_;
  const base::Monotonic::duration slice_;  // how long the socket is waited for at a time
  std::atomic<bool> usable_{true};         // changed under the lock
  std::atomic<std::uint32_t> stateChanges_{0};
  std::atomic<PartitionState> partitionState_;

  mutable base::Mutex mutex_;
  base::Condition room_;
  TlsChannel channel_ P11HA_GUARDED_BY(mutex_);
  std::string failure_ P11HA_GUARDED_BY(mutex_);
  bool failed_ P11HA_GUARDED_BY(mutex_) = false;
  std::vector<Place> places_ P11HA_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> freePlaces_ P11HA_GUARDED_BY(mutex_);
  unsigned waiting_ P11HA_GUARDED_BY(mutex_) = 0;  // for a place

  // Sending: one thread at a time, which alone has taken_ and sealed_ and what is known of them. Between two of them
  // something may be left over.
  bool sending_ P11HA_GUARDED_BY(mutex_) = false;
  Buffer ready_ P11HA_GUARDED_BY(mutex_);                  // frames that nobody has taken
  std::uint64_t readyBegin_ P11HA_GUARDED_BY(mutex_) = 0;  // the place of its first byte in all that was ever sent
  std::uint64_t left_ P11HA_GUARDED_BY(mutex_) = 0;        // bytes before that place may have left this process
  std::uint64_t sent_ P11HA_GUARDED_BY(mutex_) = 0;        // bytes before that place have left this process
  Buffer taken_;
  std::size_t takenSealed_ = 0;  // of taken_'s bytes
  Buffer sealed_;
  std::size_t sealedSent_ = 0;   // of sealed_'s bytes
  std::uint64_t sealedEnd_ = 0;  // its end's place in all that was ever sent

  // Reading: one thread at a time, which alone has received_.
  bool reading_ P11HA_GUARDED_BY(mutex_) = false;
  Pending* lastAsleep_ P11HA_GUARDED_BY(mutex_) = nullptr;
  std::unique_ptr<FrameReader> frames_ P11HA_GUARDED_BY(mutex_);
  std::unique_ptr<std::array<std::uint8_t, kReceived>> received_;

  // Silence is measured in the time in which somebody listened: that this process was stopped is not the server's
  // fault.
  base::Monotonic lookedAt_ P11HA_GUARDED_BY(mutex_);
  base::Monotonic::duration listened_ P11HA_GUARDED_BY(mutex_){};
  base::Monotonic::duration heardAt_ P11HA_GUARDED_BY(mutex_){};  // anything at all
  base::Monotonic::duration movedAt_ P11HA_GUARDED_BY(mutex_){};  // anything but a heartbeat; something was sent
  // A connection may be slow, and it may be late, but not both: its answers would come after everybody's deadline.
  Inflow inflow_ P11HA_GUARDED_BY(mutex_);
  Outflow outflow_ P11HA_GUARDED_BY(mutex_);
  base::Monotonic::duration beatAt_ P11HA_GUARDED_BY(mutex_){};  // the last heartbeat
  Lateness lateness_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::transport
