// The way of every call from the C border to whoever answers it.
#pragma once

#include <cxxabi.h>

#include <new>

#include "base/cancellation.h"
#include "pkcs11/process.h"

namespace p11ha::pkcs11 {

namespace detail {

/// Holds a session for the length of a call.
class Held {
 public:
  Held(ha::SessionTable& table, CK_SESSION_HANDLE handle) : table_(table), session_(table.lock(handle)) {}
  ~Held() {
    if (session_ != nullptr) table_.unlock(*session_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  explicit operator bool() const { return session_ != nullptr; }
  ha::Session& session() const { return *session_; }
  ha::VirtualToken& token() const {
    return static_cast<ha::VirtualToken&>(*session_->owner.load(std::memory_order_relaxed));
  }

 private:
  ha::SessionTable& table_;
  ha::Session* const session_;
};

CK_RV closeSession(Entry& entry, CK_SESSION_HANDLE handle);
CK_RV slotCall(Entry& entry, const cryptoki::Call& call);
CK_RV libraryCall(Entry& entry, const cryptoki::Call& call);

template <cryptoki::Fn F>
CK_RV sessionCall(Entry& entry, cryptoki::Call& call) P11HA_NO_THREAD_SAFETY_ANALYSIS {
  const Held held(entry->sessions, call.session());
  if (!held) return CKR_SESSION_HANDLE_INVALID;
  return held.token().call(held.session(), call, F);
}

template <cryptoki::Fn F>
CK_RV route(cryptoki::Call& call) {
  using cryptoki::Fn;
  using cryptoki::Route;
  if constexpr (F == Fn::Initialize) {
    return initialize(call.get<const cryptoki::InitializeArgs*>(0));
  } else if constexpr (F == Fn::Finalize) {
    return finalize(call.get<const void*>(0));
  } else {
    Entry entry;
    if (!entry) return CKR_CRYPTOKI_NOT_INITIALIZED;
    constexpr Route kRoute = cryptoki::function(F).route;
    if constexpr (F == Fn::CloseSession) {
      return closeSession(entry, call.session());
    } else if constexpr (kRoute == Route::Session) {
      return sessionCall<F>(entry, call);
    } else if constexpr (kRoute == Route::Slot) {
      return slotCall(entry, call);
    } else {
      return libraryCall(entry, call);
    }
  }
}

// What is asked, with no exception out of it but the unwinding of a cancelled thread.
template <class Asked>
CK_RV guarded(const Asked& asked) {
  try {
    return asked();
  } catch (const std::bad_alloc&) {
    return CKR_HOST_MEMORY;
  } catch (const abi::__forced_unwind&) {
    throw;  // pthread_cancel and pthread_exit: swallowing it would abort the process
  } catch (...) {
    return CKR_GENERAL_ERROR;
  }
}

template <cryptoki::Fn F>
CK_RV answer(cryptoki::Call& call) {
  return guarded([&call] { return route<F>(call); });
}

}  // namespace detail

/// What the entry points do.
struct Dispatch {
  /// Any thread. No exception crosses it but the unwinding of a cancelled thread.
  template <cryptoki::Fn F>
  static CK_RV run(cryptoki::Call& call) {
    // A thread may be cancelled in one that waits for as long as it takes, with nothing in its hands; the other comes
    // to no point of cancellation.
    if constexpr (F == cryptoki::Fn::WaitForSlotEvent || F == cryptoki::Fn::GetSessionInfo) {
      return detail::answer<F>(call);
    } else {
      const base::Uncancelled uncancelled;
      return detail::answer<F>(call);
    }
  }
};

}  // namespace p11ha::pkcs11
