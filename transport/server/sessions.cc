#include "transport/server/sessions.h"

#include <sys/random.h>

#include <algorithm>

namespace p11ha::transport {
namespace {

// Somewhere in 62 bits, and none of the handles that mean something.
CK_SESSION_HANDLE firstHandle() {
  std::uint64_t drawn = 0;
  if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) drawn = 0;
  return (drawn >> 2) + 1;
}

class P11HA_SCOPED_CAPABILITY LightLock {
 public:
  explicit LightLock(base::LightMutex& mutex) P11HA_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~LightLock() P11HA_RELEASE() { mutex_.unlock(); }
  LightLock(const LightLock&) = delete;
  LightLock& operator=(const LightLock&) = delete;

 private:
  base::LightMutex& mutex_;
};

}  // namespace

Sessions::Sessions(std::uint32_t most) : most_(most), next_(firstHandle()) {}

bool Sessions::reserve() {
  const LightLock lock(mutex_);
  if (sessions_.size() + reserved_ >= most_.load()) return false;
  ++reserved_;
  return true;
}

void Sessions::cancel() {
  const LightLock lock(mutex_);
  --reserved_;
}

CK_SESSION_HANDLE Sessions::add(ServedToken& token, std::uint64_t connection, CK_SESSION_HANDLE own) {
  auto session = std::make_shared<ServedSession>();
  session->token = &token;
  session->connection = connection;
  session->own = own;
  const LightLock lock(mutex_);
  --reserved_;
  session->shown = next_++;
  const CK_SESSION_HANDLE shown = session->shown;
  sessions_.emplace(shown, std::move(session));
  return shown;
}

ServedSessionPtr Sessions::find(CK_SESSION_HANDLE shown, std::uint64_t connection) const {
  const LightLock lock(mutex_);
  const auto found = sessions_.find(shown);
  return found == sessions_.end() || found->second->connection != connection ? nullptr : found->second;
}

ServedSessionPtr Sessions::take(CK_SESSION_HANDLE shown, std::uint64_t connection) {
  const LightLock lock(mutex_);
  const auto found = sessions_.find(shown);
  if (found == sessions_.end() || found->second->connection != connection) return nullptr;
  ServedSessionPtr session = std::move(found->second);
  sessions_.erase(found);
  return session;
}

template <class Is>
std::vector<ServedSessionPtr> Sessions::takeIf(Is is) {
  std::vector<ServedSessionPtr> taken;
  const LightLock lock(mutex_);
  std::erase_if(sessions_, [&](auto& entry) {
    if (!is(*entry.second)) return false;
    taken.push_back(std::move(entry.second));
    return true;
  });
  return taken;
}

std::vector<ServedSessionPtr> Sessions::takeAllOf(std::uint64_t connection) {
  return takeIf([&](const ServedSession& session) { return session.connection == connection; });
}

std::vector<ServedSessionPtr> Sessions::takeAllOf(const ServedToken& token) {
  return takeIf([&](const ServedSession& session) { return session.token == &token; });
}

std::size_t Sessions::count() const {
  const LightLock lock(mutex_);
  return sessions_.size();
}

std::size_t Sessions::countOf(const ServedToken& token) const {
  const LightLock lock(mutex_);
  return static_cast<std::size_t>(std::count_if(sessions_.begin(), sessions_.end(),
                                                [&](const auto& entry) { return entry.second->token == &token; }));
}

}  // namespace p11ha::transport
