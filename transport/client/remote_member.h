// A partition of an appliance as a Member.
#pragma once

#include <array>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/light_mutex.h"
#include "transport/client/dial.h"
#include "transport/client/remote_session.h"

namespace p11ha::transport {

class Client;

/// Calls go over the member's links; while there are none they are answered NotSent at once, and only attach()
/// connects. What was opened before a loss is void: a call in such a session is NotSent, whatever has been connected
/// since, so that no handle is ever taken for another's. Any thread.
class RemoteMember final : public cryptoki::Member {
 public:
  /// `home`: the server that is known to have it; nothing: it is asked for at all of them.
  RemoteMember(Client& client, std::string serial, std::optional<std::size_t> home);
  ~RemoteMember() override;

  /// No server has just shown it: the first attach() answers so, and does not ask again.
  void notShown(CK_RV rv) P11HA_EXCLUDES(attaching_);
  /// Begins the first attach() on a thread of its own; whoever calls attach() then waits for that.
  void beginAttach();

  const std::string& serial() const override { return serial_; }
  CK_RV attach() override P11HA_EXCLUDES(attaching_);
  std::string problem() const override P11HA_EXCLUDES(mutex_);
  cryptoki::Standing standing() const override P11HA_EXCLUDES(mutex_);
  cryptoki::Outcome execute(const cryptoki::Call& call) override;

  /// Ends its connections; calls in flight fail, and attach() from now on.
  void close() P11HA_EXCLUDES(mutex_);

 private:
  using SessionPtr = std::shared_ptr<RemoteSession>;
  // The sessions, spread so that threads with sessions of their own rarely meet.
  struct Shard {
    base::LightMutex mutex;
    std::unordered_map<CK_SESSION_HANDLE, SessionPtr> sessions P11HA_GUARDED_BY(mutex);
  };
  static constexpr std::size_t kShards = 16;

  CK_RV attachNow() P11HA_REQUIRES(attaching_);
  CK_RV connect() P11HA_REQUIRES(attaching_);
  CK_RV connectTo(std::size_t server) P11HA_REQUIRES(attaching_);
  std::shared_ptr<Attachment> current() const P11HA_EXCLUDES(mutex_);
  void note(const std::string& problem) P11HA_EXCLUDES(mutex_);

  cryptoki::Outcome dispatch(const cryptoki::Call& call);
  cryptoki::Outcome executeInSlot(const cryptoki::Call& call);
  cryptoki::Outcome executeInSession(const cryptoki::Call& call);
  cryptoki::Outcome openSession(const std::shared_ptr<Attachment>& attachment, const cryptoki::Call& call);
  cryptoki::Outcome closeSession(const cryptoki::Call& call);
  cryptoki::Outcome mechanismList(Attachment& attachment, const cryptoki::Call& call);
  cryptoki::Outcome mechanismInfo(Attachment& attachment, const cryptoki::Call& call);
  base::Monotonic deadlineOf(cryptoki::Fn fn) const;

  Shard& shardOf(CK_SESSION_HANDLE handle) { return shards_[handle % kShards]; }
  SessionPtr find(CK_SESSION_HANDLE handle);
  SessionPtr take(CK_SESSION_HANDLE handle);
  void forgetAllOf(const Attachment& attachment);

  Client& client_;
  const std::string serial_;

  base::Mutex attaching_;
  std::optional<std::size_t> home_ P11HA_GUARDED_BY(attaching_);
  std::optional<CK_RV> firstAttached_ P11HA_GUARDED_BY(attaching_);
  std::atomic<bool> beginning_{false};
  base::Mutex firstMutex_;
  std::thread first_ P11HA_GUARDED_BY(firstMutex_);

  mutable base::Mutex mutex_;
  std::shared_ptr<Attachment> attachment_ P11HA_GUARDED_BY(mutex_);
  bool closed_ P11HA_GUARDED_BY(mutex_) = false;
  std::string problem_ P11HA_GUARDED_BY(mutex_);

  std::array<Shard, kShards> shards_;
};

}  // namespace p11ha::transport
