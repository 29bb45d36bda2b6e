#include "transport/client/link.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "transport/codec/answer.h"

namespace p11ha::transport {

using base::Monotonic;
using cryptoki::Fate;
using cryptoki::Outcome;

namespace {

constexpr unsigned kPlaceBits = 12;
constexpr std::uint32_t kPlaceMask = (1U << kPlaceBits) - 1;
// Encrypted at a time, so that whoever reads need not wait for long.
constexpr std::size_t kSealed = 256UL << 10;
// What a server may ask for at most, so that one that is gone is noticed for all it says.
constexpr std::chrono::milliseconds kLongestHeartbeat{10'000};
// Bytes a second: what is late and comes with less than that will never catch up in time.
constexpr std::uint64_t kLeastRate = 64UL << 10;
constexpr Limits kMostLimits{.payload = 1UL << 30, .outputs = 1UL << 30};

using base::now;

std::string describe(int error) { return std::system_category().message(error); }

Limits within(const Limits& limits) {
  return {std::min(limits.payload, kMostLimits.payload), std::min(limits.outputs, kMostLimits.outputs)};
}

// Three heartbeats, if they come more seldom than was thought.
Monotonic::duration silenceOf(const LinkPolicy& policy, std::uint32_t interval) {
  return std::max(policy.silence, 3 * std::min(std::chrono::milliseconds(interval), kLongestHeartbeat));
}

// What the kernel waits for at a time: short beside the silence, which is noticed when such a time is over.
Monotonic::duration sliceOf(Monotonic::duration silence) {
  using std::chrono::milliseconds;
  return std::clamp<Monotonic::duration>(silence / 100, milliseconds(4), milliseconds(16));
}

std::uint64_t leastIn(Monotonic::duration time) {
  return kLeastRate * static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) /
         1000;
}

void setTimeout(int socket, int option, Monotonic::duration time) {
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  const timeval value{microseconds / 1'000'000, microseconds % 1'000'000};
  setsockopt(socket, SOL_SOCKET, option, &value, sizeof value);
}

}  // namespace

Link::Link(Socket socket, TlsChannel channel, std::unique_ptr<FrameReader> frames, const Greeting& greeting,
           PartitionState state, const LinkPolicy& policy)
    : socket_(std::move(socket)),
      limits_(within(greeting.limits)),
      most_(std::clamp<std::size_t>(greeting.maxInFlight, 1, kPlaceMask)),
      silence_(silenceOf(policy, greeting.heartbeatInterval)),
      slice_(sliceOf(silence_)),
      partitionState_(state),
      channel_(std::move(channel)),
      frames_(std::move(frames)),
      received_(std::make_unique<std::array<std::uint8_t, kReceived>>()),
      lookedAt_(now()),
      inflow_(silence_ / 2) {
  const int fd = socket_.get();
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  setTimeout(fd, SO_RCVTIMEO, slice_);
  setTimeout(fd, SO_SNDTIMEO, slice_);
  frames_->setLimit(frameLimit(limits_));
}

Link::~Link() { close("it is no longer needed"); }

std::string Link::failure() const {
  base::Lock lock(mutex_);
  return failure_;
}

LinkAnswer Link::call(const cryptoki::Call& call, const HeldInit* init, Monotonic deadline) {
  Pending own(deadline);
  Outputs outputs;
  own.opcode = opcode(call.fn);
  own.outputs = &outputs;
  own.initOutputs = init == nullptr ? nullptr : init->outputs;
  return make(own, [&](Buffer& to) {
    if (init != nullptr) to.putBytes(init->request.data(), init->request.size());
    return encodeRequest(call, limits_, to, outputs);
  });
}

LinkAnswer Link::call(cryptoki::Fn fn, std::span<const std::uint8_t> request, const Outputs& outputs,
                      Monotonic deadline) {
  Pending own(deadline);
  own.opcode = opcode(fn);
  own.outputs = &outputs;
  return make(own, [&](Buffer& to) {
    to.putBytes(request.data(), request.size());
    return CK_RV{CKR_OK};
  });
}

template <class Fill>
LinkAnswer Link::make(Pending& own, Fill&& fill) {
  std::uint32_t id = 0;
  bool reads = false;
  {
    base::Lock lock(mutex_);
    Place* const place = enter(own);
    if (place == nullptr) {
      // A connection that is in use is no member lost: neither this call nor an Init that goes with it was made.
      if (usable_.load(std::memory_order_relaxed))
        return {{CKR_FUNCTION_CANCELED, Fate::Answered}, CKR_FUNCTION_CANCELED};
      return {{CKR_DEVICE_ERROR, Fate::NotSent}};
    }
    id = place->id;
    const std::size_t before = ready_.size();
    const std::uint16_t flags = own.initOutputs == nullptr ? std::uint16_t{0} : kFlagHasInit;
    CK_RV encoded = CKR_OK;
    try {
      putFrame(ready_, id, own.opcode, flags, [&](Buffer& to) { encoded = fill(to); });
    } catch (const std::bad_alloc&) {
      leave(*place);
      throw;
    }
    if (encoded != CKR_OK) {
      ready_.truncate(before);
      leave(*place);
      return {{encoded, Fate::Answered}};
    }
    own.begin = readyBegin_ + before;
    own.end = readyBegin_ + ready_.size();
    own.heardAt = listened_;
    place->pending = &own;
    send(&own);
    if (own.isDone) return own.answer;
    reads = !std::exchange(reading_, true);
    if (!reads) sleepers(own, true);
  }
  wait(own, id, reads);
  return own.answer;
}

// A place for the request; null where the link is of no more use, or stays full.
Link::Place* Link::enter(Pending& own) {
  while (true) {
    if (!usable_.load(std::memory_order_relaxed)) return nullptr;
    if (!freePlaces_.empty()) {
      Place& place = places_[freePlaces_.back()];
      freePlaces_.pop_back();
      place.id += kPlaceMask + 1;
      place.taken = true;
      return &place;
    }
    if (places_.size() < most_) {
      // Room to give every place back is taken now: leaving must not fail.
      freePlaces_.reserve(places_.size() + 1);
      places_.push_back({static_cast<std::uint32_t>(places_.size()) + kPlaceMask + 1, true, nullptr});
      return &places_.back();
    }
    if (now() >= own.deadline) return nullptr;
    ++waiting_;
    room_.waitUntil(mutex_, own.deadline);
    --waiting_;
  }
}

void Link::leave(Place& place) {
  place.taken = false;
  place.pending = nullptr;
  freePlaces_.push_back(place.id & kPlaceMask);
  // One for each place: several may become free before the first that waited is let run.
  if (waiting_ != 0) room_.notifyOne();
}

Link::Place* Link::find(std::uint32_t id) {
  const std::uint32_t index = id & kPlaceMask;
  if (index >= places_.size()) return nullptr;
  Place& place = places_[index];
  return place.taken && place.id == id ? &place : nullptr;
}

void Link::sleepers(Pending& own, bool asleep) {
  if (own.asleep == asleep) return;
  own.asleep = asleep;
  if (asleep) {
    own.before = lastAsleep_;
    own.after = nullptr;
    if (lastAsleep_ != nullptr) lastAsleep_->after = &own;
    lastAsleep_ = &own;
    return;
  }
  if (own.before != nullptr) own.before->after = own.after;
  (own.after != nullptr ? own.after->before : lastAsleep_) = own.before;
}

void Link::wait(Pending& own, std::uint32_t id, bool reads) {
  while (true) {
    if (!reads) {
      // Whoever sets it Done has taken everything back: nothing of the link is touched any more.
      const Signal::State state = own.signal.sleep(own.deadline);
      if (state == Signal::State::Done) return;
    }
    base::Lock lock(mutex_);
    if (own.isDone) return;
    // The duty may have come at the last moment.
    if (own.signal.state() == Signal::State::Lead) {
      own.signal.set(Signal::State::Waiting);
      reads = true;
    }
    if (reads) {
      read(own);
      reading_ = false;
      handOn();
      if (own.isDone) return;
    }
    if (now() < own.deadline && !reads) continue;
    return giveUp(own, id);
  }
}

// Its time is over. The place stays taken until the answer comes, so that nobody else's request has its id.
void Link::giveUp(Pending& own, std::uint32_t id) {
  sleepers(own, false);
  // Even if it has not left yet: it will.
  own.answer.outcome = {CKR_DEVICE_ERROR, Fate::Unknown};
  find(id)->pending = nullptr;
  try {
    putCancel(ready_, id);
  } catch (const std::bad_alloc&) {
    return;  // the server works in vain
  }
  send(nullptr);
}

// Sends what is ready, unless somebody does: then that thread sends it, too. Waits for room until `own`'s time is over,
// without one not at all; whoever reads then sends the rest.
void Link::send(const Pending* own) {
  if (sending_) return;
  sending_ = true;
  while (!failed_ && seal()) {
    const std::uint64_t before = std::exchange(left_, sealedEnd_);
    mutex_.unlock();
    const int error = sendSealed(own);
    mutex_.lock();
    if (sealedSent_ == 0) left_ = before;
    if (error != 0) {
      if (error != EAGAIN) fail("it takes no requests: " + describe(error));
      break;
    }
    sealed_.clear();
    sealedSent_ = 0;
    sent_ = sealedEnd_;
    movedAt_ = listened_;
  }
  sending_ = false;
}

void Link::sendRest() {
  if (!failed_ && !sending_ && isUnsent()) send(nullptr);
}

bool Link::isUnsent() const { return !sealed_.empty() || takenSealed_ != taken_.size() || !ready_.empty(); }

// Makes the next piece ready to be sent, unless one is. False: there is none.
bool Link::seal() {
  if (!sealed_.empty()) return true;
  if (takenSealed_ == taken_.size()) {
    taken_.clear();
    takenSealed_ = 0;
    if (ready_.empty()) return false;
    std::swap(taken_, ready_);
    readyBegin_ += taken_.size();
  }
  const std::size_t size = std::min(kSealed, taken_.size() - takenSealed_);
  const TlsChannel::Status status = channel_.write(taken_.bytes().subspan(takenSealed_, size));
  std::swap(sealed_, channel_.outgoing());
  takenSealed_ += size;
  sealedEnd_ = readyBegin_ - (taken_.size() - takenSealed_);
  if (status == TlsChannel::Status::Good) return true;
  fail(channel_.error());
  return false;
}

// 0: all of it. EAGAIN: not all of it yet. Else why it cannot be.
int Link::sendSealed(const Pending* own) {
  const int flags = MSG_NOSIGNAL | (own == nullptr ? MSG_DONTWAIT : 0);
  while (sealedSent_ < sealed_.size()) {
    const ssize_t count = ::send(socket_.get(), sealed_.data() + sealedSent_, sealed_.size() - sealedSent_, flags);
    const int error = errno;
    if (count > 0) {
      sealedSent_ += static_cast<std::size_t>(count);
      if (sealedSent_ == sealed_.size()) break;
      base::Lock lock(mutex_);
      movedAt_ = listened_;
      if (own != nullptr && now() >= own->deadline) return EAGAIN;
    } else if (error == EAGAIN && own != nullptr) {
      if (const int why = waitForRoom(*own); why != 0) return why;
    } else if (error != EINTR) {
      return error;
    }
  }
  return 0;
}

// The server takes nothing at the moment. It may be that it waits for us to read. 0: it may take more now. EAGAIN: the
// call's time is over.
int Link::waitForRoom(const Pending& own) {
  base::Lock lock(mutex_);
  if (!failed_ && !reading_) {
    reading_ = true;
    lookedAt_ = std::max(lookedAt_, now() - slice_);
    while (!failed_ && receive(MSG_DONTWAIT) == Receipt::Some) {
    }
    reading_ = false;
    handOn();
  }
  if (failed_) return ECONNABORTED;
  if (isSilent()) return ETIMEDOUT;
  return now() < own.deadline ? 0 : EAGAIN;
}

// Reads for all, until the own answer is there or its time is over.
void Link::read(Pending& own) {
  lookedAt_ = now();
  while (!own.isDone && !failed_) {
    if (receive(0) == Receipt::Nothing && isSilent()) fail("it has fallen silent");
    sendRest();
    if (lookedAt_ >= own.deadline) return;
  }
}

Link::Receipt Link::receive(int flags) {
  mutex_.unlock();
  const ssize_t count = recv(socket_.get(), received_->data(), received_->size(), flags);
  const int error = errno;
  mutex_.lock();
  listened();
  if (failed_) return Receipt::Ended;
  if (count > 0) {
    take({received_->data(), static_cast<std::size_t>(count)});
    return Receipt::Some;
  }
  if (count < 0 && (error == EAGAIN || error == EINTR)) return Receipt::Nothing;
  fail(count == 0 ? "it has closed the connection" : describe(error));
  return Receipt::Ended;
}

// Time in which this thread was not let run counts no more than a look at the socket takes.
void Link::listened() {
  const Monotonic present = now();
  listened_ += std::min(present - lookedAt_, 2 * slice_);
  lookedAt_ = present;
}

bool Link::isSilent() const {
  if (listened_ - heardAt_ > silence_) return true;
  for (const Place& place : places_) {
    // What is not sent yet is nothing that it could name.
    if (!place.taken || place.pending == nullptr || place.pending->end > sent_) continue;
    if (listened_ - std::max(movedAt_, place.pending->heardAt) > silence_) return true;
  }
  return false;
}

bool Link::isTrickling(Monotonic::duration late) const {
  return late > silence_ && inflow_.recent() < leastIn(inflow_.window());
}

bool Link::isTaken(std::uint64_t arrived) {
  if (arrived == Heartbeat::kHoldsBack) {
    outflow_.heldBack(sent_, listened_);
  } else {
    outflow_.heard(sent_, arrived, listened_);
  }
  return outflow_.late() <= silence_ || outflow_.recent() >= leastIn(outflow_.late());
}

void Link::take(std::span<const std::uint8_t> bytes) {
  heardAt_ = listened_;
  inflow_.heard(bytes.size(), listened_);
  channel_.feed(bytes);
  try {
    do {
      std::size_t got = 0;
      const TlsChannel::Status status = channel_.read(frames_->room(), got);
      frames_->filled(got);
      if (got == 0) {
        if (status == TlsChannel::Status::Closed) fail("it has ended the connection");
        if (status == TlsChannel::Status::Failed) fail(channel_.error());
        // A part of a record.
        movedAt_ = listened_;
        break;
      }
      if (!takeFrames()) return;
    } while (!channel_.drained());
    // Whatever else comes: a heartbeat is due, too.
    if (isTrickling(listened_ - beatAt_)) fail("it only trickles");
  } catch (const std::bad_alloc&) {
    fail("no memory left to read from it");
  }
}

bool Link::takeFrames() {
  bool any = false;
  for (Frame frame;;) {
    switch (frames_->next(frame)) {
      case FrameReader::Next::Frame:
        any = true;
        if (takeFrame(frame) && !failed_) continue;
        return false;
      case FrameReader::Next::Incomplete:
        if (!any) movedAt_ = listened_;
        return true;
      case FrameReader::Next::TooLarge:
        fail("it sent a frame of " + std::to_string(frame.header.size) + " bytes");
        return false;
      case FrameReader::Next::Malformed:
        fail("it sent a malformed frame");
        return false;
    }
  }
}

bool Link::takeFrame(const Frame& frame) {
  const bool isAnswer = (frame.header.flags & kFlagAnswer) != 0;
  if (isAnswer ? takeAnswer(frame) : takeControl(frame)) return true;
  fail("it sent what was not asked for");
  return false;
}

bool Link::takeAnswer(const Frame& frame) {
  movedAt_ = listened_;
  Place* const place = find(frame.header.request);
  if (place == nullptr) return false;
  Pending* const pending = place->pending;
  if (pending == nullptr) {
    leave(*place);
    return true;
  }
  if (frame.header.opcode != pending->opcode) return false;
  Reader from(frame.payload);
  LinkAnswer& answer = pending->answer;
  if (pending->initOutputs != nullptr && !decodeAnswer(from, *pending->initOutputs, answer.initRv)) return false;
  answer.outcome = {answer.initRv, Fate::Answered};
  if (answer.initRv == CKR_OK && !decodeAnswer(from, *pending->outputs, answer.outcome.rv)) return false;
  if (!from.finished()) return false;
  leave(*place);
  finish(*pending);
  return true;
}

bool Link::takeControl(const Frame& frame) {
  switch (static_cast<Control>(frame.header.opcode)) {
    case Control::Heartbeat: {
      const auto heartbeat = readHeartbeat(frame.payload);
      return heartbeat && takeHeartbeat(*heartbeat);
    }
    case Control::PartitionState: {
      const auto change = readStateChange(frame.payload);
      if (!change) return false;
      partitionState_.store(change->state, std::memory_order_release);
      stateChanges_.fetch_add(1, std::memory_order_acq_rel);
      return true;
    }
    case Control::Goodbye: {
      const auto goodbye = readGoodbye(frame.payload);
      if (!goodbye) return false;
      usable_.store(false, std::memory_order_release);
      failure_ = "it says: " + goodbye->text;
      room_.notifyAll();
      return true;
    }
    default:
      return false;
  }
}

bool Link::takeHeartbeat(const Heartbeat& heartbeat) {
  if (heartbeat.sentAt > Lateness::kLatestSent) return false;
  const auto at = std::chrono::duration_cast<Lateness::Milliseconds>(listened_);
  if (isTrickling(lateness_.heard(heartbeat.sentAt, at))) {
    fail("it only trickles");
    return true;
  }
  if (!isTaken(heartbeat.arrived)) {
    fail("what is sent to it only trickles");
    return true;
  }
  beatAt_ = listened_;
  for (const std::uint32_t request : heartbeat.requests) {
    Place* const place = find(request);
    if (place != nullptr && place->pending != nullptr) place->pending->heardAt = listened_;
  }
  return true;
}

void Link::finish(Pending& pending) {
  sleepers(pending, false);
  pending.isDone = true;
  pending.signal.wake(Signal::State::Done);
}

// Somebody else reads now, if somebody waits.
void Link::handOn() {
  if (reading_ || lastAsleep_ == nullptr) return;
  reading_ = true;
  Pending& next = *lastAsleep_;
  sleepers(next, false);
  next.signal.wake(Signal::State::Lead);
}

void Link::fail(const std::string& why) {
  if (failed_) return;
  if (failure_.empty()) failure_ = why;
  failed_ = true;
  usable_.store(false, std::memory_order_release);
  // Wakes whoever sends or reads.
  ::shutdown(socket_.get(), SHUT_RDWR);
  room_.notifyAll();
  for (Place& place : places_) {
    Pending* const pending = std::exchange(place.pending, nullptr);
    if (pending == nullptr) continue;
    pending->answer.outcome = {CKR_DEVICE_ERROR, pending->begin >= left_ ? Fate::NotSent : Fate::Unknown};
    finish(*pending);
  }
}

void Link::tend() {
  base::Lock lock(mutex_);
  if (failed_ || reading_) return;
  reading_ = true;
  // What passed since the last look was listened to by the kernel.
  lookedAt_ = std::max(lookedAt_, now() - silence_ / 3);
  listened_ += now() - lookedAt_;
  lookedAt_ = now();
  while (!failed_ && receive(MSG_DONTWAIT) == Receipt::Some) {
  }
  if (!failed_ && isSilent()) fail("it has fallen silent");
  reading_ = false;
  handOn();
  sendRest();
}

void Link::close(const std::string& why) {
  base::Lock lock(mutex_);
  if (failed_) return;
  if (!sending_ && !isUnsent()) {
    try {
      putGoodbye(ready_, {Farewell::Closing, why});
      if (channel_.write(ready_.bytes()) == TlsChannel::Status::Good) channel_.end();
      const Buffer& sealed = channel_.outgoing();
      ::send(socket_.get(), sealed.data(), sealed.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    } catch (const std::bad_alloc&) {
      // Then without a word.
    }
    ready_.clear();
  }
  fail(why);
}

}  // namespace p11ha::transport
