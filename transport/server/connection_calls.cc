// The calls of a connection: who makes them, with what memory, and what becomes of their answers.
#include <sys/socket.h>

#include "transport/codec/answer.h"
#include "transport/server/connection.h"
#include "transport/server/worker.h"

namespace p11ha::transport {

using cryptoki::Call;
using cryptoki::Fn;

namespace {

/// An answer waits for no longer than that for others to go with it.
constexpr std::int64_t kTogether = 100'000;
/// What a call may take without being counted; those that need more try with more.
constexpr std::size_t kLittle = 64UL << 10;
constexpr std::size_t kSome = 1UL << 20;
constexpr std::size_t kMuch = 17UL << 20;
constexpr unsigned kCompany = 32;

using base::now;

}  // namespace

// To the crew. Where that has nobody, it is the reader's own.
void Connection::hand(TaskPtr task, bool slow) {
  auto shared = std::make_shared<TaskPtr>(std::move(task));
  const auto job = [shared] {
    TaskPtr own = std::move(*shared);
    const std::shared_ptr<Connection> connection = own->connection;
    connection->run(*own);
    connection->finish(std::move(own));
    connection->outbox_.flush();
  };
  const bool begun = slow ? worker_.crew().slow(job) : worker_.crew().heavy(job);
  if (begun) return;
  base::Lock lock(mutex_);
  ready_.push_back(std::move(*shared));
}

Connection::Turn Connection::runReady() {
  std::int64_t oldest = 0;
  while (true) {
    TaskPtr task;
    bool more = false;
    {
      base::Lock lock(mutex_);
      if (ready_.empty()) return Turn::Reader;
      task = std::move(ready_.front());
      ready_.pop_front();
      more = !ready_.empty();
    }
    const std::uint64_t call = ++directCalls_;
    direct_.store(call, std::memory_order_seq_cst);
    const bool heavy = run(*task);
    std::uint64_t expected = call;
    const bool relieved = !direct_.compare_exchange_strong(expected, 0);
    finish(std::move(task));
    const std::int64_t present = monotonicNow();
    if (oldest == 0) oldest = present;
    if (relieved || !more || present - oldest > kTogether) {
      outbox_.flush();
      oldest = 0;
    }
    // From here on, nothing of the reader's is ours.
    if (relieved) return Turn::Relieved;
    if (!heavy) continue;
    // Has somebody waited while we were at it? Then calls like that are worth a thread each.
    char byte = 0;
    if (recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) companyFor_ = kCompany;
  }
}

// Memory for a call, which waits for that of others and for answers that the client has not taken; but never one that
// is alone. False: the connection has ended.
bool Connection::charge(Task& task, std::size_t room) {
  task.arena.reset();
  task.arena.setBound(room);
  if (room <= kLittle) return true;
  while (true) {
    const std::size_t waiting = outbox_.waiting();
    {
      base::Lock lock(mutex_);
      charged_ -= std::exchange(task.charged, 0);
      if (ended_) return false;
      if (charged_ + waiting + room <= kMostHeld || charged_ + waiting == 0) {
        charged_ += task.charged = room;
        return true;
      }
    }
    outbox_.flush();
    base::Lock lock(mutex_);
    room_.waitUntil(mutex_, now() + kLook);
  }
}

std::optional<DecodeError> Connection::decode(Task& task, std::optional<Call>& init, std::optional<Call>& call,
                                              bool& finished) {
  Reader from(task.payload.bytes());
  if ((task.header.flags & kFlagHasInit) != 0) {
    const auto decoded = decodeRequest(from, limits_, task.arena, task.initOutputs);
    if (!decoded) return decoded.error();
    init = *decoded;
  }
  const auto decoded = decodeRequest(from, limits_, task.arena, task.outputs);
  if (!decoded) return decoded.error();
  call = *decoded;
  finished = from.finished();
  return std::nullopt;
}

// Makes the call and puts its answer into the outbox. True: it was a heavy one.
bool Connection::run(Task& task) {
  {
    base::Lock lock(mutex_);
    if (ended_) return false;
  }
  const Worker::Activity counted(worker_);
  worker_.stir();
  std::int64_t begun = 0;
  std::string wrong;
  CK_RV initRv = CKR_OK;
  CK_RV rv = CKR_OK;
  const bool hasInit = (task.header.flags & kFlagHasInit) != 0;
  try {
    std::optional<Call> init;
    std::optional<Call> decoded;
    std::optional<DecodeError> error;
    bool finished = false;
    for (const std::size_t room : {kLittle, kSome, kMuch, arenaBound(limits_)}) {
      if (!charge(task, room)) return false;
      error = decode(task, init, decoded, finished);
      if (error != DecodeError::TooLarge) break;
    }
    // Not before it has its memory: the time it waits for that is not the module's.
    begun = monotonicNow();
    task.begun.store(begun, std::memory_order_release);
    if (error) {
      wrong = describe(*error);
    } else if (!finished) {
      wrong = "bytes after a call";
    } else if (decoded->fn != task.fn) {
      wrong = "a call that is not the one its frame names";
    } else if (init && (cryptoki::function(init->fn).effect.kind != cryptoki::EffectKind::Begin ||
                        cryptoki::function(decoded->fn).effect.op != cryptoki::function(init->fn).effect.op ||
                        init->session() != decoded->session())) {
      wrong = "an Init that is not of its call";
    } else if (task.cancelled.load(std::memory_order_acquire)) {
      rv = initRv = CKR_FUNCTION_CANCELED;
    } else {
      ServedToken& served = *token();
      if (init) initRv = served.execute(*init, id());
      if (initRv == CKR_OK) rv = served.execute(*decoded, id());
      // Nobody will know of the session.
      if (decoded->fn == Fn::OpenSession && rv == CKR_OK && task.cancelled.load(std::memory_order_acquire)) {
        Call close = cryptoki::makeCall<Fn::CloseSession>(*decoded->get<CK_SESSION_HANDLE*>(4));
        served.execute(close, id());
      }
    }
  } catch (const std::bad_alloc&) {
    wrong = "no memory left for a call";
  }
  if (!wrong.empty()) {
    drop({Farewell::Protocol, wrong});
    return false;
  }
  outbox_.post([&](Buffer& to) {
    putFrame(to, task.header.request, task.header.opcode, static_cast<std::uint16_t>(task.header.flags | kFlagAnswer),
             [&](Buffer& payload) {
               if (hasInit) encodeAnswer(initRv, task.initOutputs, payload);
               if (initRv == CKR_OK || !hasInit) encodeAnswer(rv, task.outputs, payload);
             });
  });
  const std::int64_t took = monotonicNow() - begun;
  worker_.costs().took(task.fn, took);
  return took > 60'000;
}

void Connection::finish(TaskPtr task) {
  const std::shared_ptr<Connection> self = std::move(task->connection);
  bool last = false;
  {
    base::Lock lock(mutex_);
    inFlight_.erase(task->header.request);
    const bool wasFull = held_ > kMostHeld;
    held_ -= task->payload.size();
    charged_ -= task->charged;
    if (wasFull || task->charged != 0) room_.notifyAll();
    last = ended_ && inFlight_.empty();
  }
  worker_.giveBack(std::move(task));
  if (last) closeSessions();
}

}  // namespace p11ha::transport
