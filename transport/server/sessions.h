// The sessions that a worker has open for its application.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/light_mutex.h"
#include "base/mutex.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::transport {

class ServedToken;

/// A session of the module.
struct ServedSession {
  ServedToken* token = nullptr;
  std::uint64_t connection = 0;  // it was opened on, and ends with
  CK_SESSION_HANDLE own = CK_INVALID_HANDLE;
  CK_SESSION_HANDLE shown = CK_INVALID_HANDLE;
  /// Held across each of its calls: a module must not see two at once (PKCS #11 v3.0, 5.2), least of all when one
  /// closes it.
  base::Mutex busy;
};
using ServedSessionPtr = std::shared_ptr<ServedSession>;

/// By the handles that clients are shown, which never repeat: not even those of an earlier worker come again. Any
/// thread.
class Sessions {
 public:
  explicit Sessions(std::uint32_t most);

  /// Room for one more, to be used by add() or given back by cancel(). False: there are as many as there may be.
  bool reserve() P11HA_EXCLUDES(mutex_);
  void cancel() P11HA_EXCLUDES(mutex_);
  /// The handle to show.
  CK_SESSION_HANDLE add(ServedToken& token, std::uint64_t connection, CK_SESSION_HANDLE own) P11HA_EXCLUDES(mutex_);

  /// Nothing where the connection has no such session.
  ServedSessionPtr find(CK_SESSION_HANDLE shown, std::uint64_t connection) const P11HA_EXCLUDES(mutex_);
  /// Takes it out: nobody finds it from now on.
  ServedSessionPtr take(CK_SESSION_HANDLE shown, std::uint64_t connection) P11HA_EXCLUDES(mutex_);
  std::vector<ServedSessionPtr> takeAllOf(std::uint64_t connection) P11HA_EXCLUDES(mutex_);
  std::vector<ServedSessionPtr> takeAllOf(const ServedToken& token) P11HA_EXCLUDES(mutex_);

  std::size_t count() const P11HA_EXCLUDES(mutex_);
  std::size_t countOf(const ServedToken& token) const P11HA_EXCLUDES(mutex_);
  void setMost(std::uint32_t most) { most_.store(most); }

 private:
  template <class Is>
  std::vector<ServedSessionPtr> takeIf(Is is) P11HA_EXCLUDES(mutex_);

  std::atomic<std::uint32_t> most_;
  mutable base::LightMutex mutex_;
  std::unordered_map<CK_SESSION_HANDLE, ServedSessionPtr> sessions_ P11HA_GUARDED_BY(mutex_);
  std::size_t reserved_ P11HA_GUARDED_BY(mutex_) = 0;
  CK_SESSION_HANDLE next_ P11HA_GUARDED_BY(mutex_);
};

}  // namespace p11ha::transport
