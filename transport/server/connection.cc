#include "transport/server/connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "transport/server/worker.h"

namespace p11ha::transport {

using cryptoki::Fn;

namespace {

constexpr std::size_t kReceive = 64UL << 10;

using base::now;

}  // namespace

Connection::Connection(Worker& worker, HandedConnection handed, base::Descriptor socket, SSL_CTX& context,
                       const ServerLimits& bounds)
    : worker_(worker),
      handed_(std::move(handed)),
      socket_(std::move(socket)),
      bounds_(bounds),
      channel_(TlsChannel::server(context)),
      outbox_(socket_.get(), channel_, channelMutex_, [this] { endsOver("it takes no answers"); }),
      cipher_(kReceive) {}

Connection::~Connection() = default;

bool Connection::start() {
  try {
    std::thread([self = shared_from_this()] { self->serve(); }).detach();
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

// Whatever there is of plain bytes.
bool Connection::decrypt() {
  base::Lock lock(channelMutex_);
  while (true) {
    std::size_t got = 0;
    const TlsChannel::Status status = channel_.read(frames_.room(), got);
    frames_.filled(got);
    arrived_.fetch_add(got, std::memory_order_relaxed);
    if (got == 0) return status == TlsChannel::Status::WantInput;
    if (channel_.drained()) return true;
  }
}

// The first reason is the one that counts.
bool Connection::endsOver(const std::string& why) {
  base::Lock lock(mutex_);
  if (ended_ || !why_.empty()) return false;
  why_ = why;
  return true;
}

void Connection::drop(const Goodbye& goodbye) {
  if (!endsOver(goodbye.text)) return;
  if (greeted()) static_cast<void>(outbox_.postUnlessFull([&](Buffer& to) { putGoodbye(to, goodbye); }));
  ::shutdown(socket_.get(), SHUT_RDWR);
}

void Connection::drain() {
  draining_.store(true);
  ::shutdown(socket_.get(), SHUT_RD);
}

void Connection::tell(const StateChange& change) {
  outbox_.post([&](Buffer& to) { putStateChange(to, change); });
  flushElsewhere();
}

// For who must not wait for a client.
void Connection::flushElsewhere() {
  const bool begun = worker_.crew().slow([self = shared_from_this()] { self->outbox_.flush(); });
  if (!begun) drop({Farewell::Limit, "no thread to send it what it has to know"});
}

void Connection::heartbeat() {
  if (!greeted()) return;
  Heartbeat heartbeat;
  {
    base::Lock lock(mutex_);
    heartbeat.requests.reserve(inFlight_.size());
    for (const auto& [request, task] : inFlight_) heartbeat.requests.push_back(request);
  }
  const auto present = base::now().time_since_epoch();
  if (!holdsBack_.load()) heartbeat.arrived = arrived_.load(std::memory_order_relaxed);
  heartbeat.sentAt = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(present).count());
  if (outbox_.postUnlessFull([&](Buffer& to) { putHeartbeat(to, heartbeat); })) flushElsewhere();
}

std::optional<Connection::Overdue> Connection::overdue(std::int64_t present, const ServerLimits& bounds) const {
  base::Lock lock(mutex_);
  for (const auto& [request, task] : inFlight_) {
    const std::int64_t begun = task->begun.load(std::memory_order_acquire);
    const auto limit = cryptoki::isKeyGeneration(task->fn) ? bounds.keyGeneration : bounds.call;
    if (begun == 0 || present - begun < std::chrono::nanoseconds(limit).count()) continue;
    return Overdue{task->fn, (present - begun) / 1'000'000};
  }
  return std::nullopt;
}

std::size_t Connection::inFlight() const {
  base::Lock lock(mutex_);
  return inFlight_.size();
}

// The same call as at the last look: somebody else reads.
void Connection::relieve() {
  std::uint64_t call = direct_.load(std::memory_order_seq_cst);
  if (std::exchange(directSeen_, call) != call || call == 0) return;
  if (!direct_.compare_exchange_strong(call, 0)) return;
  // Answers from before that call, which it was to send with that one's.
  flushElsewhere();
  try {
    std::thread([self = shared_from_this()] { self->read(); }).detach();
  } catch (const std::system_error&) {
    drop({Farewell::Limit, "no thread to read what it sends"});
    // Its end is the reader's work, too.
    const bool begun = worker_.crew().slow([self = shared_from_this()] { self->end(); });
    if (!begun) worker_.log().error(handed_.address + ": no thread to end it");
  }
}

void Connection::read() {
  try {
    while (runReady() == Turn::Reader) {
      if (receive()) continue;
      end();
      return;
    }
  } catch (const std::bad_alloc&) {
    worker_.log().error(handed_.address + ": no memory left for it");
    end();
  }
}

bool Connection::receive() {
  waitForRoom();
  ssize_t size = 0;
  if (companyFor_ != 0) --companyFor_;
  do {
    size = recv(socket_.get(), cipher_.data(), cipher_.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return false;
  {
    base::Lock lock(channelMutex_);
    channel_.feed({cipher_.data(), static_cast<std::size_t>(size)});
  }
  const bool good = decrypt();
  return takeFrames() && good;
}

// Not of a client that takes no answers, and not of one that sends faster than it can be served.
void Connection::waitForRoom() {
  const auto until = now() + bounds_.send;
  while (true) {
    base::Lock lock(mutex_);
    if (ended_ || held_ <= kMostHeld) break;
    holdsBack_.store(true);
    room_.waitUntil(mutex_, now() + kLook);
  }
  while (outbox_.waiting() > kMostHeld && now() < until) {
    holdsBack_.store(true);
    base::Lock lock(mutex_);
    room_.waitUntil(mutex_, now() + kLook);
  }
  holdsBack_.store(false);
}

bool Connection::protocolError(const std::string& why) {
  endsOver(why);
  sayGoodbye({Farewell::Protocol, why});
  return false;
}

bool Connection::takeFrames() {
  batch_.clear();
  while (true) {
    Frame frame;
    switch (frames_.next(frame)) {
      case FrameReader::Next::Frame:
        batch_.push_back(frame);
        continue;
      case FrameReader::Next::Incomplete:
        break;
      case FrameReader::Next::TooLarge:
        return protocolError("a frame of " + std::to_string(frame.header.size) + " bytes");
      case FrameReader::Next::Malformed:
        return protocolError("a malformed frame");
    }
    break;
  }
  bool good = true;
  for (const Frame& frame : batch_) good = good && takeFrame(frame, batch_.size());
  // A PIN does not wait for the client's next word.
  frames_.wipeTaken();
  return good;
}

bool Connection::takeFrame(const Frame& frame, std::size_t batch) {
  if (frame.header.opcode < kFirstControl) return takeRequest(frame, batch);
  switch (static_cast<Control>(frame.header.opcode)) {
    case Control::Cancel: {
      base::Lock lock(mutex_);
      const auto found = inFlight_.find(frame.header.request);
      if (found != inFlight_.end()) found->second->cancelled.store(true, std::memory_order_release);
      return true;
    }
    case Control::Goodbye:
      return false;
    default:
      return protocolError("an unknown frame");
  }
}

bool Connection::takeRequest(const Frame& frame, std::size_t batch) {
  if (token() == nullptr) return protocolError("a call without a partition");
  if ((frame.header.flags & ~kFlagHasInit) != 0) return protocolError("unknown flags");
  if (frame.header.opcode >= cryptoki::kFunctionCount) return protocolError("an unknown function");
  TaskPtr task = worker_.newTask();
  task->connection = shared_from_this();
  task->header = frame.header;
  task->fn = static_cast<Fn>(frame.header.opcode);
  task->payload.putBytes(frame.payload.data(), frame.payload.size());
  const Cost cost = worker_.costs().of(task->fn);
  std::string wrong;
  bool alone = false;
  {
    base::Lock lock(mutex_);
    if (inFlight_.size() >= maxInFlight_) {
      wrong = "more than " + std::to_string(maxInFlight_) + " requests in flight";
    } else if (!inFlight_.emplace(frame.header.request, task.get()).second) {
      wrong = "a request id that is in flight already";
    } else {
      held_ += task->payload.size();
      alone = batch == 1 && inFlight_.size() == 1;
    }
    if (wrong.empty() && (cost == Cost::Cheap || (cost == Cost::Heavy && alone && companyFor_ == 0))) {
      ready_.push_back(std::move(task));
      return true;
    }
  }
  if (!wrong.empty()) {
    worker_.giveBack(std::move(task));
    return protocolError(wrong);
  }
  hand(std::move(task), cost == Cost::Slow);
  return true;
}

// The reader's last act.
void Connection::end() {
  if (draining_.load()) {
    const auto until = now() + bounds_.drain;
    while (now() < until) {
      base::Lock lock(mutex_);
      if (inFlight_.empty()) break;
      room_.waitUntil(mutex_, now() + kLook);
    }
    if (greeted()) sayGoodbye({Farewell::ShuttingDown, "the appliance ends"});
  }
  std::deque<TaskPtr> dropped;
  bool last = false;
  std::string why;
  {
    base::Lock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    dropped.swap(ready_);
    for (const TaskPtr& task : dropped) inFlight_.erase(task->header.request);
    last = inFlight_.empty();
    why = why_;
  }
  ::shutdown(socket_.get(), SHUT_RDWR);
  for (TaskPtr& task : dropped) worker_.giveBack(std::move(task));
  if (greeted()) {
    const std::string who = handed_.address + ": client " + client_.name;
    if (why.empty()) {
      worker_.log().info(who + " has gone");
    } else {
      worker_.log().warning(who + ": closed: " + why);
    }
  }
  // Counted before the supervisor hears of it, and perhaps lets this process end.
  const Worker::Activity counted(worker_);
  const std::shared_ptr<Connection> self = shared_from_this();
  worker_.closed(*this);
  if (last) closeSessions();
}

void Connection::closeSessions() {
  const Worker::Activity counted(worker_);
  if (ServedToken* const served = token(); served != nullptr) served->closeSessionsOf(id());
}

}  // namespace p11ha::transport
