#include "transport/client/remote_member.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "base/quiet_thread.h"
#include "cryptoki/call_time.h"
#include "cryptoki/text.h"
#include "transport/client/client.h"

namespace p11ha::transport {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Route;

namespace {

// A try that ends before it has begun still begins: what follows it must not be counted from a call before.
Outcome notConnected() {
  cryptoki::callBegan();
  return {CKR_DEVICE_ERROR, Fate::NotSent};
}

using base::now;

// After which an Init may be answered otherwise than before.
bool changesMinds(Fn fn) {
  switch (fn) {
    case Fn::Login:
    case Fn::LoginUser:
    case Fn::Logout:
    case Fn::InitPIN:
    case Fn::SetPIN:
    case Fn::SetAttributeValue:
    case Fn::DestroyObject:
      return true;
    default:
      return false;
  }
}

PartitionState stateOf(const std::string& serial, const Greeting& greeting) {
  for (const PartitionInfo& partition : greeting.partitions) {
    if (partition.serial == serial) return partition.state;
  }
  return PartitionState::Active;
}

}  // namespace

RemoteMember::RemoteMember(Client& client, std::string serial, std::optional<std::size_t> home)
    : client_(client), serial_(std::move(serial)), home_(home) {}

RemoteMember::~RemoteMember() {
  close();
  base::Lock lock(firstMutex_);
  if (first_.joinable()) first_.join();
}

void RemoteMember::notShown(CK_RV rv) {
  base::Lock lock(attaching_);
  firstAttached_ = rv;
}

void RemoteMember::beginAttach() {
  beginning_.store(true);
  base::Lock begun(firstMutex_);
  try {
    first_ = base::quietThread([this] {
      base::Lock lock(attaching_);
      // Whoever came first has done it already.
      if (beginning_.exchange(false)) firstAttached_ = attachNow();
    });
  } catch (const std::system_error&) {
    beginning_.store(false);
  }
}

CK_RV RemoteMember::attach() {
  CK_RV rv = CKR_OK;
  {
    base::Lock lock(attaching_);
    const auto first = std::exchange(firstAttached_, std::nullopt);
    beginning_.store(false);
    rv = first ? *first : attachNow();
  }
  // It has done what it was for, or has nothing to do.
  base::Lock lock(firstMutex_);
  if (first_.joinable()) first_.join();
  return rv;
}

CK_RV RemoteMember::attachNow() {
  try {
    if (const auto attachment = current(); attachment != nullptr && attachment->usable()) {
      CK_TOKEN_INFO info{};
      const auto asked = makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info);
      const Outcome outcome = attachment->first().call(asked, nullptr, deadlineOf(Fn::GetTokenInfo)).outcome;
      if (outcome.fate == Fate::Answered) {
        if (outcome.rv != CKR_OK) return outcome.rv;
        return cryptoki::unpad(info.serialNumber) == serial_ ? CKR_OK : CKR_TOKEN_NOT_RECOGNIZED;
      }
      // It is there, and does not answer.
      if (attachment->usable()) return outcome.rv;
    }
    return connect();
  } catch (const std::bad_alloc&) {
    return CKR_HOST_MEMORY;
  }
}

CK_RV RemoteMember::connect() {
  {
    base::Lock lock(mutex_);
    if (closed_) return CKR_DEVICE_ERROR;
  }
  if (home_) return connectTo(*home_);
  CK_RV rv = CKR_TOKEN_NOT_PRESENT;
  std::string reason;
  for (std::size_t server = 0; server < client_.settings().servers.size(); ++server) {
    const CK_RV there = connectTo(server);
    if (there == CKR_OK) {
      home_ = server;
      return CKR_OK;
    }
    // One that cannot be asked may have it: then that is the problem, not that others do not.
    if (there == CKR_TOKEN_NOT_PRESENT) continue;
    rv = there;
    reason = problem();
  }
  if (rv != CKR_TOKEN_NOT_PRESENT) note(reason);
  return rv;
}

CK_RV RemoteMember::connectTo(std::size_t server) {
  const base::Monotonic until = now() + client_.settings().connectTimeout;
  std::vector<std::unique_ptr<Link>> links;
  for (unsigned i = 0; i < std::max(client_.settings().links, 1U); ++i) {
    auto dialled = client_.dialTo(server, serial_, until);
    if (!dialled) {
      note(dialled.error().text);
      return dialled.error().rv;
    }
    links.push_back(std::make_unique<Link>(std::move(dialled->socket), std::move(dialled->channel),
                                           std::move(dialled->frames), dialled->greeting,
                                           stateOf(serial_, dialled->greeting), client_.settings().link));
  }
  const auto fresh = std::make_shared<Attachment>(std::move(links));
  // What else it answers, whoever called attach() will meet again.
  CK_TOKEN_INFO info{};
  const auto asked = makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &info);
  const Outcome shown = fresh->first().call(asked, nullptr, deadlineOf(Fn::GetTokenInfo)).outcome;
  if (shown.fate != Fate::Answered) return shown.rv;
  if (shown.rv == CKR_OK && cryptoki::unpad(info.serialNumber) != serial_) return CKR_TOKEN_NOT_RECOGNIZED;
  std::shared_ptr<Attachment> old;
  {
    base::Lock lock(mutex_);
    if (closed_) return CKR_DEVICE_ERROR;
    old = std::exchange(attachment_, fresh);
    problem_.clear();
  }
  if (old != nullptr) old->close("connected again");
  client_.tend(fresh);
  return CKR_OK;
}

std::shared_ptr<Attachment> RemoteMember::current() const {
  base::Lock lock(mutex_);
  return attachment_;
}

void RemoteMember::note(const std::string& problem) {
  base::Lock lock(mutex_);
  problem_ = problem;
}

std::string RemoteMember::problem() const {
  base::Lock lock(mutex_);
  return problem_;
}

cryptoki::Standing RemoteMember::standing() const {
  const auto attachment = current();
  if (attachment == nullptr) return cryptoki::Standing::Active;
  switch (attachment->first().partitionState()) {
    case PartitionState::Active:
      break;
    case PartitionState::Deactivated:
      return cryptoki::Standing::Deactivated;
    case PartitionState::Revoked:
      return cryptoki::Standing::Revoked;
  }
  return cryptoki::Standing::Active;
}

void RemoteMember::close() {
  std::shared_ptr<Attachment> old;
  {
    base::Lock lock(mutex_);
    closed_ = true;
    old = std::exchange(attachment_, nullptr);
  }
  if (old != nullptr) old->close("the application ends");
}

base::Monotonic RemoteMember::deadlineOf(Fn fn) const {
  const ClientSettings& settings = client_.settings();
  return cryptoki::callBegan() +
         (cryptoki::isKeyGeneration(fn) ? settings.keyGenerationDeadline : settings.callDeadline);
}

Outcome RemoteMember::execute(const Call& call) {
  try {
    const Outcome outcome = dispatch(call);
    if (outcome.fate != Fate::Answered) [[unlikely]]
      cryptoki::callFailed();
    return outcome;
  } catch (const std::bad_alloc&) {
    return {CKR_HOST_MEMORY};
  }
}

Outcome RemoteMember::dispatch(const Call& call) {
  return cryptoki::function(call.fn).route == Route::Session ? executeInSession(call) : executeInSlot(call);
}

Outcome RemoteMember::executeInSlot(const Call& call) {
  const auto attachment = current();
  if (attachment == nullptr || !attachment->usable()) return notConnected();
  switch (call.fn) {
    case Fn::OpenSession:
      return openSession(attachment, call);
    case Fn::CloseAllSessions:
      forgetAllOf(*attachment);
      attachment->allClosed();
      break;
    case Fn::GetMechanismList:
      return mechanismList(*attachment, call);
    case Fn::GetMechanismInfo:
      return mechanismInfo(*attachment, call);
    default:
      break;
  }
  return attachment->first().call(call, nullptr, deadlineOf(call.fn)).outcome;
}

Outcome RemoteMember::openSession(const std::shared_ptr<Attachment>& attachment, const Call& call) {
  auto* const handle = call.get<CK_SESSION_HANDLE*>(4);
  Link& link = attachment->next();
  const Outcome outcome = link.call(call, nullptr, deadlineOf(call.fn)).outcome;
  if (outcome.rv != CKR_OK || handle == nullptr) return outcome;
  try {
    auto session = std::make_shared<RemoteSession>(attachment, link, *handle);
    Shard& shard = shardOf(*handle);
    shard.mutex.lock();
    try {
      shard.sessions.insert_or_assign(*handle, std::move(session));
    } catch (const std::bad_alloc&) {
      shard.mutex.unlock();
      throw;
    }
    shard.mutex.unlock();
  } catch (const std::bad_alloc&) {
    link.call(makeCall<Fn::CloseSession>(std::exchange(*handle, CK_INVALID_HANDLE)), nullptr, deadlineOf(call.fn));
    throw;
  }
  attachment->opened();
  return outcome;
}

Outcome RemoteMember::executeInSession(const Call& call) {
  if (call.fn == Fn::CloseSession) return closeSession(call);
  const SessionPtr session = find(call.session());
  if (session == nullptr) {
    const auto attachment = current();
    return attachment == nullptr || !attachment->usable() ? notConnected() : Outcome{CKR_SESSION_HANDLE_INVALID};
  }
  Attachment& attachment = session->attachment();
  if (!attachment.usable()) return notConnected();
  const Outcome outcome = session->execute(call, deadlineOf(call.fn));
  if (changesMinds(call.fn)) attachment.changed();
  return outcome;
}

Outcome RemoteMember::closeSession(const Call& call) {
  const SessionPtr session = take(call.session());
  // With its connection it has ended.
  if (session == nullptr || !session->attachment().usable()) return {CKR_SESSION_HANDLE_INVALID};
  session->attachment().closed();
  return session->close(call, deadlineOf(call.fn));
}

RemoteMember::SessionPtr RemoteMember::find(CK_SESSION_HANDLE handle) {
  Shard& shard = shardOf(handle);
  SessionPtr session;
  shard.mutex.lock();
  if (const auto found = shard.sessions.find(handle); found != shard.sessions.end()) session = found->second;
  shard.mutex.unlock();
  return session;
}

RemoteMember::SessionPtr RemoteMember::take(CK_SESSION_HANDLE handle) {
  Shard& shard = shardOf(handle);
  SessionPtr session;
  shard.mutex.lock();
  if (const auto found = shard.sessions.find(handle); found != shard.sessions.end()) {
    session = std::move(found->second);
    shard.sessions.erase(found);
  }
  shard.mutex.unlock();
  return session;
}

void RemoteMember::forgetAllOf(const Attachment& attachment) {
  for (Shard& shard : shards_) {
    shard.mutex.lock();
    std::erase_if(shard.sessions, [&](const auto& each) { return &each.second->attachment() == &attachment; });
    shard.mutex.unlock();
  }
}

// As the member itself would answer, where that is known.
Outcome RemoteMember::mechanismList(Attachment& attachment, const Call& call) {
  auto* const list = call.get<CK_MECHANISM_TYPE*>(1);
  auto* const count = call.get<CK_ULONG*>(2);
  if (attachment.mechanisms().list(list, count)) return {};
  const Outcome outcome = attachment.first().call(call, nullptr, deadlineOf(call.fn)).outcome;
  if (outcome.rv == CKR_OK && list != nullptr && count != nullptr) attachment.mechanisms().noteList({list, *count});
  return outcome;
}

Outcome RemoteMember::mechanismInfo(Attachment& attachment, const Call& call) {
  const auto type = call.get<CK_MECHANISM_TYPE>(1);
  auto* const info = call.get<CK_MECHANISM_INFO*>(2);
  if (const auto known = attachment.mechanisms().info(type, info)) return {*known};
  const Outcome outcome = attachment.first().call(call, nullptr, deadlineOf(call.fn)).outcome;
  if (outcome.fate == Fate::Answered && info != nullptr) attachment.mechanisms().noteInfo(type, outcome.rv, *info);
  return outcome;
}

}  // namespace p11ha::transport
