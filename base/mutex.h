// A mutex that clang's thread-safety analysis can follow (libstdc++'s own is not annotated).
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define P11HA_TS(x) __attribute__((x))
#else
#define P11HA_TS(x)
#endif

#define P11HA_CAPABILITY(name) P11HA_TS(capability(name))
#define P11HA_SCOPED_CAPABILITY P11HA_TS(scoped_lockable)
#define P11HA_GUARDED_BY(m) P11HA_TS(guarded_by(m))
#define P11HA_PT_GUARDED_BY(m) P11HA_TS(pt_guarded_by(m))
#define P11HA_REQUIRES(...) P11HA_TS(requires_capability(__VA_ARGS__))
#define P11HA_EXCLUDES(...) P11HA_TS(locks_excluded(__VA_ARGS__))
#define P11HA_ACQUIRE(...) P11HA_TS(acquire_capability(__VA_ARGS__))
#define P11HA_TRY_ACQUIRE(...) P11HA_TS(try_acquire_capability(__VA_ARGS__))
#define P11HA_RELEASE(...) P11HA_TS(release_capability(__VA_ARGS__))
#define P11HA_ASSERT_CAPABILITY(...) P11HA_TS(assert_capability(__VA_ARGS__))
#define P11HA_RETURN_CAPABILITY(m) P11HA_TS(lock_returned(m))
#define P11HA_NO_THREAD_SAFETY_ANALYSIS P11HA_TS(no_thread_safety_analysis)

namespace p11ha::base {

/// Any thread; not recursive.
class P11HA_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() P11HA_ACQUIRE() { mutex_.lock(); }
  void unlock() P11HA_RELEASE() { mutex_.unlock(); }
  bool tryLock() P11HA_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

/// Holds a Mutex for a scope.
class P11HA_SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(Mutex& mutex) P11HA_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() P11HA_RELEASE() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

/// A condition variable over Mutex. Waits may wake spuriously: callers loop over their own condition. A wait that ends
/// because its thread is cancelled holds the mutex again, as one that ends by itself does.
class Condition {
 public:
  void wait(Mutex& mutex) P11HA_REQUIRES(mutex) {
    Borrowed held(mutex);
    condition_.wait(held.lock);
  }
  void waitUntil(Mutex& mutex, std::chrono::steady_clock::time_point until) P11HA_REQUIRES(mutex) {
    Borrowed held(mutex);
    condition_.wait_until(held.lock, until);
  }
  void notifyOne() { condition_.notify_one(); }
  void notifyAll() { condition_.notify_all(); }

 private:
  // A lock that is the caller's, whichever way the scope is left.
  struct Borrowed {
    explicit Borrowed(Mutex& mutex) : lock(mutex.mutex_, std::adopt_lock) {}
    ~Borrowed() { lock.release(); }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    std::unique_lock<std::mutex> lock;
  };

  std::condition_variable condition_;
};

}  // namespace p11ha::base
