#include "testbed/failing_module/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace p11ha::testbed {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::RoleKind;
using cryptoki::Route;

void complain(const std::string& what) { std::fprintf(stderr, "p11ha-failing: %s\n", what.c_str()); }

template <class Pointer>
Pointer argument(const Call& call, RoleKind role) {
  return call.get<Pointer>(cryptoki::function(call.fn).find(role)->word);
}

class Inside {
 public:
  explicit Inside(Slot* slot) : slot_(slot), turn_(slot == nullptr ? 0 : slot->occupancy().enter()) {}
  ~Inside() {
    if (slot_ != nullptr) slot_->occupancy().leave(turn_);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Slot* const slot_;
  const unsigned turn_;
};

}  // namespace

Runtime::Runtime(const cryptoki::FunctionList& wrapped) : wrapped_(wrapped), pid_(getpid()) {}

bool Runtime::own() const { return pid_ == getpid(); }

CK_RV Runtime::initialize(const Call& call) {
  const bool fresh = !running();
  if (fresh && !startControl()) return CKR_GENERAL_ERROR;
  const CK_RV rv = judged(call, nullptr, unslotted_[call.fn]);
  const bool initialized = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED;
  if (initialized) running_.store(true, std::memory_order_release);
  if (fresh && !initialized) stopControl();
  return rv;
}

// The control thread makes calls of its own, so that the wrapped module has more threads than a client that promises to
// have one (NULL) knows of.
CK_RV Runtime::initializeWrapped(const Call& call) {
  CK_C_INITIALIZE_ARGS threaded{};
  if (const auto* given = argument<const cryptoki::InitializeArgs*>(call, RoleKind::InitializeArguments)) {
    if (given->CreateMutex != nullptr) return cryptoki::invoke(wrapped_, call);
    threaded.flags = given->flags;
    threaded.LibraryParameters = static_cast<CK_CHAR_PTR*>(given->pReserved);
  }
  threaded.flags |= CKF_OS_LOCKING_OK;
  return cryptoki::invoke(wrapped_, makeCall<Fn::Initialize>(&threaded));
}

CK_RV Runtime::finalize(const Call& call) {
  {
    base::Lock lock(mutex_);
    ++cycle_;
  }
  changed_.notifyAll();
  // The control thread makes calls of its own into the wrapped module.
  stopControl();
  const CK_RV rv = cryptoki::invoke(wrapped_, call);
  if (rv != CKR_OK) {
    startControl();
    return rv;
  }
  running_.store(false, std::memory_order_release);
  sessions_.clear();
  return rv;
}

CK_RV Runtime::handle(const Call& call) {
  Slot* slot = slotOf(call);
  return judged(call, slot, (slot != nullptr ? slot->counters() : unslotted_)[call.fn]);
}

Slot* Runtime::slotOf(const Call& call) {
  switch (cryptoki::function(call.fn).route) {
    case Route::Slot:
      return slots_.at(call.slot());
    case Route::Session: {
      const int index = sessions_.find(call.session());
      return index < 0 ? nullptr : slots_.byIndex(static_cast<std::size_t>(index));
    }
    case Route::Library:
      break;
  }
  return nullptr;
}

Subject Runtime::subjectOf(Slot* slot) {
  return slot == nullptr ? Subject{} : Subject{false, slot->id(), slot->serial(wrapped_)};
}

CK_RV Runtime::judged(const Call& call, Slot* slot, Counters::Counter& counter) {
  std::vector<std::uint64_t> served;
  while (true) {
    Verdict verdict;
    {
      // Entered before the rules are read: who publishes new ones and then drains the slot knows that no call passed on
      // under the old ones is still inside.
      const Inside inside(slot);
      const RuleSet* rules = rules_.load(std::memory_order_seq_cst);
      if (rules == nullptr) [[likely]]
        return pass(call, slot, nullptr, counter);
      verdict = rules->judge(subjectOf(slot), call, served);
      if (verdict.kind == Verdict::Kind::Pass) return pass(call, slot, rules, counter);
      if (verdict.kind == Verdict::Kind::PassThenAnswer) {
        pass(call, slot, rules, counter);
        return verdict.rv;
      }
    }
    if (verdict.kind != Verdict::Kind::Answer) {
      served.push_back(verdict.rule);
      if (hold(verdict, counter)) continue;
      verdict.rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    counter.refused.fetch_add(1, std::memory_order_relaxed);
    return verdict.rv;
  }
}

bool Runtime::hold(const Verdict& verdict, Counters::Counter& counter) {
  const auto until = std::chrono::steady_clock::now() + verdict.delay;
  base::Lock lock(mutex_);
  const std::uint64_t cycle = cycle_;
  counter.waiting.fetch_add(1, std::memory_order_relaxed);
  while (cycle_ == cycle) {
    const RuleSet* rules = rules_.load(std::memory_order_acquire);
    if (rules == nullptr || !rules->contains(verdict.rule)) break;
    if (verdict.kind == Verdict::Kind::Hang) {
      changed_.wait(mutex_);
    } else if (std::chrono::steady_clock::now() < until) {
      changed_.waitUntil(mutex_, until);
    } else {
      break;
    }
  }
  counter.waiting.fetch_sub(1, std::memory_order_relaxed);
  return cycle_ == cycle;
}

CK_RV Runtime::pass(const Call& call, Slot* slot, const RuleSet* rules, Counters::Counter& counter) {
  counter.passed.fetch_add(1, std::memory_order_relaxed);
  if (call.fn == Fn::Finalize) return finalize(call);
  if (call.fn == Fn::Initialize) return initializeWrapped(call);
  if (call.fn == Fn::GetSlotList && rules != nullptr && rules->unplugsAny()) return listSlots(call, *rules);
  // Forgotten before the handle can be given to another session.
  if (call.fn == Fn::CloseSession) sessions_.forget(call.session());
  const CK_RV rv = cryptoki::invoke(wrapped_, call);
  if (slot == nullptr) return rv;
  if (rv != CKR_OK) {
    if (call.fn == Fn::CloseSession && rv != CKR_SESSION_HANDLE_INVALID) sessions_.note(call.session(), *slot);
    return rv;
  }
  if (call.fn == Fn::OpenSession) {
    sessions_.note(*argument<CK_SESSION_HANDLE_PTR>(call, RoleKind::NewSession), *slot);
  } else if (call.fn == Fn::CloseAllSessions) {
    sessions_.forgetAll(*slot);
  } else if (call.fn == Fn::InitToken) {
    slot->forgetSerial();
  } else if (rules != nullptr) {
    amendInfo(call, *slot, *rules);
  }
  return rv;
}

void Runtime::amendInfo(const Call& call, Slot& slot, const RuleSet& rules) {
  if (call.fn == Fn::GetSlotInfo && rules.unplugs(subjectOf(&slot))) {
    argument<CK_SLOT_INFO_PTR>(call, RoleKind::OutInfo)->flags &= ~CK_FLAGS{CKF_TOKEN_PRESENT};
  }
  if (call.fn == Fn::GetTokenInfo && rules.deactivates(subjectOf(&slot))) {
    argument<CK_TOKEN_INFO_PTR>(call, RoleKind::OutInfo)->flags &= ~CK_FLAGS{CKF_USER_PIN_INITIALIZED};
  }
  // The rule is in force a moment before the login has ended: nobody shall see it in between.
  if (call.fn == Fn::GetSessionInfo && rules.deactivates(subjectOf(&slot))) {
    CK_STATE& state = argument<CK_SESSION_INFO_PTR>(call, RoleKind::OutInfo)->state;
    if (state == CKS_RO_USER_FUNCTIONS) state = CKS_RO_PUBLIC_SESSION;
    if (state == CKS_RW_USER_FUNCTIONS || state == CKS_RW_SO_FUNCTIONS) state = CKS_RW_PUBLIC_SESSION;
  }
}

CK_RV Runtime::listSlots(const Call& call, const RuleSet& rules) {
  const auto present = argument<CK_BBOOL>(call, RoleKind::Present);
  const std::size_t word = cryptoki::function(call.fn).find(RoleKind::OutSlots)->word;
  auto* const out = call.get<CK_SLOT_ID_PTR>(word);
  auto* const count = call.get<CK_ULONG_PTR>(word + 1);
  if (present == CK_FALSE || count == nullptr) return cryptoki::invoke(wrapped_, call);
  CK_ULONG all = 0;
  CK_RV rv = cryptoki::invoke(wrapped_, makeCall<Fn::GetSlotList>(present, nullptr, &all));
  if (rv != CKR_OK) return rv;
  std::vector<CK_SLOT_ID> slots(all);
  rv = cryptoki::invoke(wrapped_, makeCall<Fn::GetSlotList>(present, slots.data(), &all));
  if (rv != CKR_OK) return rv;
  slots.resize(all);
  std::erase_if(slots, [&](CK_SLOT_ID id) {
    Slot* slot = slots_.at(id);
    return slot != nullptr && rules.unplugs(subjectOf(slot));
  });
  const CK_ULONG capacity = *count;
  *count = slots.size();
  if (out == nullptr) return CKR_OK;
  if (capacity < slots.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(slots.begin(), slots.end(), out);
  return CKR_OK;
}

bool Runtime::startControl() {
  const char* path = std::getenv("P11HA_FAILING_CONTROL");
  if (path == nullptr || *path == '\0') return true;
  auto dir = ControlDir::open(path);
  if (!dir) {
    complain(dir.error());
    return false;
  }
  dir_.emplace(std::move(*dir));
  slots_.forEach([](Slot& slot) { slot.forgetSerial(); });
  // Heard first, read then: whoever changes the rules meanwhile either finds us listening or has written them already.
  const auto started = listener_.start(*dir_, [this](std::string_view request) { return answer(request); });
  const std::string wrong = started ? readRules() : started.error();
  if (wrong.empty()) return true;
  complain(wrong);
  stopControl();
  return false;
}

void Runtime::stopControl() {
  if (!dir_) return;
  {
    // Whoever adds up the counts finds them either with us or in the tally, and once.
    const auto lock = dir_->lock();
    dir_->appendTally(tallyText());
    slots_.forEach([](Slot& slot) { slot.counters().clear(); });
    unslotted_.clear();
    dir_->remove(listener_.name());
  }
  listener_.stop();
  dir_.reset();
}

std::string Runtime::answer(std::string_view request) {
  if (request == "tally") return tallyText() + "ok\n";
  if (request != "reload") return "unknown request\n";
  const std::string wrong = readRules();
  return wrong.empty() ? "ok\n" : wrong + "\n";
}

std::string Runtime::readRules() {
  // Read and applied in one go, so that what was read first cannot be applied last.
  base::Lock lock(applying_);
  const auto rules = dir_->readRules();
  if (!rules) return rules.error();
  apply(rules->rules);
  return {};
}

void Runtime::apply(const std::vector<Rule>& rules) {
  const RuleSet* before = rules_.load(std::memory_order_acquire);
  auto after = std::make_unique<const RuleSet>(rules, before);
  const RuleSet& now = *after;
  const auto had = [&](Slot& slot, bool (RuleSet::*state)(const Subject&) const) {
    return before != nullptr && (before->*state)(subjectOf(&slot));
  };
  slots_.forEach([&](Slot& slot) {
    if (had(slot, &RuleSet::unplugs) && !now.unplugs(subjectOf(&slot))) replug(slot);
  });
  std::vector<Slot*> ending;
  slots_.forEach([&](Slot& slot) {
    if (now.deactivates(subjectOf(&slot)) && !had(slot, &RuleSet::deactivates)) ending.push_back(&slot);
  });
  publish(std::move(after));
  for (Slot* slot : ending) endLogin(*slot);
}

void Runtime::publish(std::unique_ptr<const RuleSet> rules) {
  {
    base::Lock lock(mutex_);
    const bool none = rules->empty();
    rules_.store(none ? nullptr : rules.get(), std::memory_order_seq_cst);
    if (!none) published_.push_back(std::move(rules));
  }
  changed_.notifyAll();
}

// Still under the rule that lets nothing in: those inside came before it.
void Runtime::replug(Slot& slot) {
  slot.occupancy().drain();
  cryptoki::invoke(wrapped_, makeCall<Fn::CloseAllSessions>(slot.id()));
  sessions_.forgetAll(slot);
}

void Runtime::endLogin(Slot& slot) {
  slot.occupancy().drain();
  CK_SESSION_HANDLE session = 0;
  const auto open = makeCall<Fn::OpenSession>(slot.id(), CK_FLAGS{CKF_SERIAL_SESSION}, nullptr, nullptr, &session);
  if (cryptoki::invoke(wrapped_, open) != CKR_OK) return;
  cryptoki::invoke(wrapped_, makeCall<Fn::Logout>(session));
  cryptoki::invoke(wrapped_, makeCall<Fn::CloseSession>(session));
}

std::string Runtime::tallyText() {
  Tally tally;
  slots_.forEach([&](Slot& slot) { slot.counters().addTo(tally, std::to_string(slot.id()), slot.serial(wrapped_)); });
  unslotted_.addTo(tally, "", "");
  return tally.text();
}

}  // namespace p11ha::testbed
