#include "transport/client/link.h"

#include <fcntl.h>
#include <poll.h>
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
constexpr Limits kMostLimits{.payload = 1UL << 30, .outputs = 1UL << 30};

using base::now;

std::string describe(int error) { return std::system_category().message(error); }

Limits within(const Limits& limits) {
  return {std::min(limits.payload, kMostLimits.payload), std::min(limits.outputs, kMostLimits.outputs)};
}

// What the kernel waits for at a time: short beside the silence, which is noticed when such a time is over.
Monotonic::duration sliceOf(Monotonic::duration silence) {
  using std::chrono::milliseconds;
  return std::clamp<Monotonic::duration>(silence / 100, milliseconds(4), milliseconds(16));
}

void setTimeout(int socket, int option, Monotonic::duration time) {
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  const timeval value{microseconds / 1'000'000, microseconds % 1'000'000};
  setsockopt(socket, SOL_SOCKET, option, &value, sizeof value);
}

}  // namespace

Link::Link(Socket socket, TlsChannel channel, std::unique_ptr<FrameReader> frames, const Greeting& greeting,
           const LinkPolicy& policy)
    : socket_(std::move(socket)),
      limits_(within(greeting.limits)),
      most_(std::clamp<std::size_t>(greeting.maxInFlight, 1, kPlaceMask)),
      silence_(
          std::max<Monotonic::duration>(policy.silence, 3 * std::chrono::milliseconds(greeting.heartbeatInterval))),
      slice_(sliceOf(silence_)),
      channel_(std::move(channel)),
      frames_(std::move(frames)),
      received_(std::make_unique<std::array<std::uint8_t, kReceived>>()),
      lookedAt_(now()) {
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
  if (takesMore()) send(nullptr);
}

bool Link::takesMore() const {
  pollfd waiting{socket_.get(), POLLOUT, 0};
  return poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLOUT) != 0;
}

// Sends what is ready, unless somebody does: then that thread sends it, too.
void Link::send(const Pending* own) {
  if (sending_) return;
  sending_ = true;
  while (!failed_ && !ready_.empty()) {
    std::swap(taken_, ready_);
    const std::uint64_t begin = readyBegin_;
    readyBegin_ += taken_.size();
    for (std::size_t at = 0; at < taken_.size() && !failed_;) {
      const std::size_t size = std::min(kSealed, taken_.size() - at);
      const TlsChannel::Status status = channel_.write(taken_.bytes().subspan(at, size));
      std::swap(sealed_, channel_.outgoing());
      if (status != TlsChannel::Status::Good) {
        fail(channel_.error());
        break;
      }
      const std::uint64_t before = std::exchange(left_, begin + at + size);
      mutex_.unlock();
      const bool some = sendSealed(own);
      mutex_.lock();
      if (!some) {
        left_ = before;
        fail("it takes no requests: " + describe(errno));
      }
      sealed_.clear();
      at += size;
    }
    taken_.clear();
  }
  sending_ = false;
}

// False: the socket took not one byte of it. Where it took some but not all, the link has failed.
bool Link::sendSealed(const Pending* own) {
  for (std::size_t sent = 0; sent < sealed_.size();) {
    const ssize_t count = ::send(socket_.get(), sealed_.data() + sent, sealed_.size() - sent, MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN && mayWaitForRoom(own)) continue;
    const int error = errno;
    if (sent != 0) {
      base::Lock lock(mutex_);
      fail("it takes no requests: " + describe(error));
      return true;
    }
    errno = error;
    return false;
  }
  return true;
}

// The server takes nothing at the moment. It may be that it waits for us to read.
bool Link::mayWaitForRoom(const Pending* own) {
  base::Lock lock(mutex_);
  if (failed_) return false;
  if (!reading_) {
    reading_ = true;
    lookedAt_ = std::max(lookedAt_, now() - slice_);
    while (!failed_ && receive(MSG_DONTWAIT) == Receipt::Some) {
    }
    reading_ = false;
    handOn();
  }
  if (failed_) return false;
  if (!isSilent() && (own == nullptr || now() < own->deadline)) return true;
  errno = ETIMEDOUT;
  return false;
}

// Reads for all, until the own answer is there or its time is over.
void Link::read(Pending& own) {
  lookedAt_ = now();
  while (!own.isDone && !failed_) {
    if (receive(0) == Receipt::Nothing && isSilent()) fail("it has fallen silent");
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
  return std::any_of(places_.begin(), places_.end(), [this](const Place& place) {
    if (!place.taken || place.pending == nullptr) return false;
    return listened_ - std::max(movedAt_, place.pending->heardAt) > silence_;
  });
}

void Link::take(std::span<const std::uint8_t> bytes) {
  heardAt_ = listened_;
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
        return;
      }
      if (!takeFrames()) return;
    } while (!channel_.drained());
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
        if (takeFrame(frame)) continue;
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
      const auto requests = readHeartbeat(frame.payload);
      if (!requests) return false;
      for (const std::uint32_t request : *requests) {
        Place* const place = find(request);
        if (place != nullptr && place->pending != nullptr) place->pending->heardAt = listened_;
      }
      return true;
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
  // A word to the server that found no room.
  if (!ready_.empty() && takesMore()) send(nullptr);
}

void Link::close(const std::string& why) {
  base::Lock lock(mutex_);
  if (failed_) return;
  if (!sending_ && ready_.empty()) {
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
