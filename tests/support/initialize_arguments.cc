#include "tests/support/initialize_arguments.h"

#include <cstdlib>

namespace p11ha::tests {
namespace {

CK_RV never(void* /*mutex*/) { std::abort(); }
CK_RV neverCreate(void** /*mutex*/) { std::abort(); }

constexpr unsigned kCallbacks = 4;

// By what is wrong first: what is no valid argument at all, then what cannot be had.
CK_RV answerTo(unsigned callbacks, CK_FLAGS flags, bool reserved) {
  const bool all = callbacks == (1U << kCallbacks) - 1;
  if (reserved || (callbacks != 0 && !all)) return CKR_ARGUMENTS_BAD;
  return all && (flags & CKF_OS_LOCKING_OK) == 0 ? CKR_CANT_LOCK : CKR_OK;
}

}  // namespace

std::vector<InitializeCase> everyInitializeCase() {
  static int something = 0;
  std::vector<InitializeCase> cases;
  for (unsigned callbacks = 0; callbacks < 1U << kCallbacks; ++callbacks) {
    for (CK_FLAGS flags = 0; flags <= (CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK); ++flags) {
      for (const bool reserved : {false, true}) {
        InitializeCase each;
        each.name = "callbacks " + std::to_string(callbacks) + ", flags " + std::to_string(flags) +
                    (reserved ? ", pReserved" : "");
        if ((callbacks & 1) != 0) each.arguments.CreateMutex = &neverCreate;
        if ((callbacks & 2) != 0) each.arguments.DestroyMutex = &never;
        if ((callbacks & 4) != 0) each.arguments.LockMutex = &never;
        if ((callbacks & 8) != 0) each.arguments.UnlockMutex = &never;
        each.arguments.flags = flags;
        each.arguments.pReserved = reserved ? &something : nullptr;
        each.answer = answerTo(callbacks, flags, reserved);
        cases.push_back(std::move(each));
      }
    }
  }
  return cases;
}

}  // namespace p11ha::tests
