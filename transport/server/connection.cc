#include "transport/server/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "transport/codec/answer.h"
#include "transport/server/worker.h"

namespace p11ha::transport {

using cryptoki::Call;
using cryptoki::Fn;

namespace {

constexpr std::size_t kReceive = 64UL << 10;
/// An answer waits for no longer than that for others to go with it.
constexpr std::int64_t kTogether = 100'000;
/// Of requests in flight, and of answers that the client does not take: then it is not read from.
constexpr std::size_t kMostHeld = 64UL << 20;
/// What a call may take without being counted; those that need more try with more.
constexpr std::size_t kLittle = 64UL << 10;
constexpr std::size_t kSome = 1UL << 20;
constexpr std::size_t kMuch = 17UL << 20;
constexpr unsigned kCompany = 32;
constexpr std::chrono::milliseconds kLinger{500};
constexpr std::chrono::milliseconds kLook{20};
constexpr int kKeepAliveIdle = 20;
constexpr int kKeepAliveInterval = 5;
constexpr int kKeepAliveCount = 4;

void setTimeout(int socket, int option, std::chrono::milliseconds time) {
  const auto milliseconds = std::max<std::int64_t>(time.count(), 1);
  const timeval value{milliseconds / 1000, (milliseconds % 1000) * 1000};
  setsockopt(socket, SOL_SOCKET, option, &value, sizeof value);
}

bool isKeyGeneration(Fn fn) { return fn == Fn::GenerateKey || fn == Fn::GenerateKeyPair; }

using base::now;

}  // namespace

Connection::Connection(Worker& worker, HandedConnection handed, Descriptor socket, SSL_CTX& context,
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

void Connection::serve() {
  const int fd = socket_.get();
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveIdle, sizeof kKeepAliveIdle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveInterval, sizeof kKeepAliveInterval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kKeepAliveCount, sizeof kKeepAliveCount);
  setTimeout(fd, SO_SNDTIMEO, bounds_.send);
  try {
    if (shakeHands()) {
      if (const auto goodbye = greet()) {
        worker_.log().warning(handed_.address + ": refused: " + goodbye->text);
        sayGoodbye(*goodbye);
      } else {
        const timeval never{};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
        return read();
      }
    }
  } catch (const std::bad_alloc&) {
    worker_.log().error(handed_.address + ": no memory left for it");
  }
  end();
}

void Connection::refuse(const std::string& why) { worker_.log().warning(handed_.address + ": refused: " + why); }

// Whatever there is of plain bytes.
bool Connection::decrypt() {
  base::Lock lock(channelMutex_);
  while (true) {
    std::size_t got = 0;
    const TlsChannel::Status status = channel_.read(frames_.room(), got);
    frames_.filled(got);
    if (got == 0) return status == TlsChannel::Status::WantInput;
    if (channel_.drained()) return true;
  }
}

// More bytes of the network, before the time is over. Only before the greeting.
bool Connection::feedUntil(base::Monotonic until) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now());
    if (left.count() <= 0) return false;
    setTimeout(socket_.get(), SO_RCVTIMEO, left);
    const ssize_t size = recv(socket_.get(), cipher_.data(), cipher_.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    base::Lock lock(channelMutex_);
    channel_.feed({cipher_.data(), static_cast<std::size_t>(size)});
    return true;
  }
}

bool Connection::shakeHands() {
  const auto until = handed_.until;
  while (true) {
    TlsChannel::Status status{};
    std::string error;
    {
      base::Lock lock(channelMutex_);
      status = channel_.handshake();
      error = channel_.error();
    }
    outbox_.flushAll();
    if (status == TlsChannel::Status::Good) break;
    if (status != TlsChannel::Status::WantInput) {
      refuse(error.empty() ? "the handshake was broken off" : error);
      linger();
      return false;
    }
    if (feedUntil(until)) continue;
    base::Lock lock(mutex_);
    // Whoever has dropped it has said so.
    if (why_.empty())
      refuse(now() >= until ? "it has not finished the handshake in time" : "it broke off the handshake");
    return false;
  }
  base::Lock lock(channelMutex_);
  client_ = {channel_.peerName(), channel_.peerFingerprint()};
  return true;
}

std::optional<Frame> Connection::firstFrame(base::Monotonic until) {
  Frame frame;
  while (true) {
    if (!decrypt()) return std::nullopt;
    switch (frames_.next(frame)) {
      case FrameReader::Next::Frame:
        return frame;
      case FrameReader::Next::Incomplete:
        break;
      default:
        return std::nullopt;
    }
    if (!feedUntil(until)) return std::nullopt;
  }
}

// Nothing where all is well.
std::optional<Goodbye> Connection::greet() {
  const auto frame = firstFrame(handed_.until);
  if (!frame || frame->header.opcode != static_cast<std::uint16_t>(Control::GreetingRequest) ||
      frame->header.flags != 0)
    return Goodbye{Farewell::Protocol, "it does not greet"};
  const auto request = readGreetingRequest(frame->payload);
  if (!request) return Goodbye{Farewell::Protocol, "its greeting is malformed"};
  if (request->version != kProtocolVersion) {
    return Goodbye{Farewell::Version, "it speaks version " + std::to_string(request->version) +
                                          " of the protocol, not " + std::to_string(kProtocolVersion)};
  }
  if (request->serial != handed_.destination.serial)
    return Goodbye{Farewell::Protocol, "its greeting asks for another partition than its ClientHello"};
  Worker::Admission admission = worker_.admit(client_, request->serial);
  if (admission.refused) return admission.refused;
  application_ = request->application;
  limits_ = admission.greeting.limits;
  maxInFlight_ = admission.greeting.maxInFlight;
  frames_.setLimit(frameLimit(limits_));
  token_.store(admission.token, std::memory_order_release);
  worker_.ready(*this, client_, application_, request->serial);
  outbox_.post([&](Buffer& to) { putGreeting(to, admission.greeting); });
  outbox_.flush();
  greeted_.store(true, std::memory_order_release);
  worker_.log().info(handed_.address + ": client " + client_.name + ", application " + application_ + " at " +
                     (request->serial.empty() ? "the list of partitions" : "partition " + request->serial));
  return std::nullopt;
}

void Connection::sayGoodbye(const Goodbye& goodbye) {
  outbox_.post([&](Buffer& to) { putGoodbye(to, goodbye); });
  outbox_.flush();
  {
    base::Lock lock(channelMutex_);
    channel_.end();
  }
  outbox_.flushAll();
  linger();
}

// What was sent must not be lost to a reset, which it would be if bytes of the client's were left unread.
void Connection::linger() {
  // The supervisor waits for no client; and this process does not end before that client has read.
  lingering_ = std::make_shared<Worker::Activity>(worker_);
  worker_.closed(*this);
  ::shutdown(socket_.get(), SHUT_WR);
  const auto until = now() + kLinger;
  while (now() < until) {
    setTimeout(socket_.get(), SO_RCVTIMEO, std::chrono::ceil<std::chrono::milliseconds>(until - now()));
    if (recv(socket_.get(), cipher_.data(), cipher_.size(), 0) <= 0) return;
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
  std::vector<std::uint32_t> requests;
  {
    base::Lock lock(mutex_);
    requests.reserve(inFlight_.size());
    for (const auto& [request, task] : inFlight_) requests.push_back(request);
  }
  if (outbox_.postUnlessFull([&](Buffer& to) { putHeartbeat(to, requests); })) flushElsewhere();
}

std::optional<Connection::Overdue> Connection::overdue(std::int64_t present, const ServerLimits& bounds) const {
  base::Lock lock(mutex_);
  for (const auto& [request, task] : inFlight_) {
    const std::int64_t begun = task->begun.load(std::memory_order_acquire);
    const auto limit = isKeyGeneration(task->fn) ? bounds.keyGeneration : bounds.call;
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
    {
      base::Lock lock(mutex_);
      if (ended_ || held_ <= kMostHeld) break;
      room_.waitUntil(mutex_, now() + kLook);
    }
  }
  while (outbox_.waiting() > kMostHeld && now() < until) {
    base::Lock lock(mutex_);
    room_.waitUntil(mutex_, now() + kLook);
  }
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
