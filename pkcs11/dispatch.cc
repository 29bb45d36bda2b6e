#include "pkcs11/dispatch.h"

#include <cxxabi.h>

#include <new>

#include "cryptoki/text.h"
#include "pkcs11/cancellation.h"
#include "pkcs11/process.h"

namespace p11ha::pkcs11 {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::Route;

namespace {

CK_RV getInfo(CK_INFO* info) {
  if (info == nullptr) return CKR_ARGUMENTS_BAD;
  *info = {};
  info->cryptokiVersion = {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR};
  info->libraryVersion = {0, 1};
  cryptoki::pad(info->manufacturerID, "p11ha");
  cryptoki::pad(info->libraryDescription, "High-availability PKCS#11");
  return CKR_OK;
}

CK_RV libraryCall(Entry& entry, const Call& call) {
  switch (call.fn) {
    case Fn::GetInfo:
      return getInfo(call.get<CK_INFO*>(0));
    case Fn::GetSlotList:
      return entry->slotList(call.get<CK_BBOOL>(0), call.get<CK_SLOT_ID*>(1), call.get<CK_ULONG*>(2));
    case Fn::WaitForSlotEvent:
      if (call.get<void*>(2) != nullptr) return CKR_ARGUMENTS_BAD;
      return entry->waitForSlotEvent(call.get<CK_FLAGS>(0), call.get<CK_SLOT_ID*>(1));
    default:
      return CKR_FUNCTION_NOT_SUPPORTED;
  }
}

// Holds a session for the length of a call.
class Held {
 public:
  Held(ha::SessionTable& table, CK_SESSION_HANDLE handle) : table_(table), session_(table.lock(handle)) {}
  ~Held() {
    if (session_ != nullptr) table_.unlock(*session_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ha::Session* get() const { return session_; }

 private:
  ha::SessionTable& table_;
  ha::Session* const session_;
};

ha::VirtualToken& tokenOf(const ha::Session& session) {
  return static_cast<ha::VirtualToken&>(*session.owner.load(std::memory_order_relaxed));
}

CK_RV sessionCall(Entry& entry, const Call& call) P11HA_NO_THREAD_SAFETY_ANALYSIS {
  if (call.fn == Fn::CloseSession) {
    ha::VirtualToken* token = nullptr;
    {
      const Held held(entry->sessions, call.session());
      if (held.get() == nullptr) return CKR_SESSION_HANDLE_INVALID;
      token = &tokenOf(*held.get());
    }
    return token->closeSession(call.session());
  }
  const Held held(entry->sessions, call.session());
  if (held.get() == nullptr) return CKR_SESSION_HANDLE_INVALID;
  return tokenOf(*held.get()).call(*held.get(), call);
}

CK_RV route(const Call& call) {
  if (call.fn == Fn::Initialize) return initialize(call.get<const cryptoki::InitializeArgs*>(0));
  if (call.fn == Fn::Finalize) return finalize(call.get<const void*>(0));
  Entry entry;
  if (!entry) return CKR_CRYPTOKI_NOT_INITIALIZED;
  switch (cryptoki::function(call.fn).route) {
    case Route::Session:
      return sessionCall(entry, call);
    case Route::Slot: {
      ha::VirtualToken* const token = entry->token(call.slot());
      return token == nullptr ? CKR_SLOT_ID_INVALID : token->call(call);
    }
    case Route::Library:
      break;
  }
  return libraryCall(entry, call);
}

CK_RV answer(const Call& call) {
  try {
    return route(call);
  } catch (const std::bad_alloc&) {
    return CKR_HOST_MEMORY;
  } catch (const abi::__forced_unwind&) {
    throw;  // pthread_cancel and pthread_exit: swallowing it would abort the process
  } catch (...) {
    return CKR_GENERAL_ERROR;
  }
}

}  // namespace

CK_RV dispatch(const Call& call) {
  // It waits for as long as it takes, with nothing in its hands: here alone a thread may be cancelled.
  if (call.fn == Fn::WaitForSlotEvent) return answer(call);
  const Uncancelled uncancelled;
  return answer(call);
}

}  // namespace p11ha::pkcs11
