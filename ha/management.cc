#include "ha/management.h"

#include <algorithm>
#include <new>
#include <utility>

namespace p11ha::ha {
namespace {

// How often running calls are looked at, as a part of CallDeadline.
constexpr int kLooksPerDeadline = 20;

bool isKeyGeneration(cryptoki::Fn fn) { return fn == cryptoki::Fn::GenerateKey || fn == cryptoki::Fn::GenerateKeyPair; }

}  // namespace

Management::Management(Group& group, Recovery& recovery, SessionTable& sessions, const SessionOwner& owner,
                       base::Scheduler& scheduler, base::Workers& workers)
    : group_(group), recovery_(recovery), sessions_(sessions), owner_(owner), scheduler_(scheduler), workers_(workers) {
  group_.onLoss = [this](unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv) { lost(member, epoch, loss, rv); };
  group_.onPoison = [this](unsigned member, std::uint32_t epoch) { post(member, event::Poisoned{epoch}); };
}

void Management::start(std::span<const CK_RV> attached, bool protectedAuthenticationPath) {
  group_.log(halog::MgmtThreadStart{});
  if (protectedAuthenticationPath) {
    group_.log(halog::ConfiguredAsPed{});
  } else {
    group_.log(halog::ConfiguredAsPassword{});
  }
  for (unsigned member = 0; member < attached.size(); ++member) {
    if (attached[member] == CKR_OK) continue;
    const Step next = transition(member, event::Unreachable{attached[member]});
    const std::uint32_t epoch = next.state.epoch;
    // Timers are the scheduler's thread's own, which may be at work already.
    if (next.effects.timer) {
      scheduler_.post([this, member, epoch, at = *next.effects.timer] { arm(member, epoch, at); });
    }
  }
  publish();
  group_.setCoarseNow(group_.clock.now());
  scheduler_.post([this] { watch(); });
}

void Management::stop() {
  scheduler_.post([this] {
    if (std::exchange(stopped_, true)) return;
    group_.log(halog::MgmtThreadTerminate{});
  });
}

void Management::post(unsigned member, const MemberEvent& event) {
  scheduler_.post([this, member, event] { apply(member, event); });
}

void Management::lost(unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv) {
  switch (loss) {
    case Loss::None:
      break;
    case Loss::Dropped:
      post(member, event::Failed{epoch, rv});
      break;
    case Loss::Deactivated:
      post(member, event::Deactivated{epoch});
      break;
    case Loss::LoginRefused:
      post(member, event::LoginRefused{epoch, rv});
      break;
  }
}

void Management::loginStarted() {
  for (unsigned member = 0; member < group_.members.size(); ++member) post(member, event::LoginStarted{});
}

void Management::recoverNow(unsigned member) { post(member, event::RecoverNow{}); }

MemberState Management::state(unsigned member) const {
  base::Lock lock(mutex_);
  return states_[member];
}

Step Management::transition(unsigned member, const MemberEvent& event) {
  GroupMember& subject = group_.member(member);
  const MemberState before = state(member);
  Step next = step(before, event, group_.clock.now(), group_.policy.recovery, subject.serial);
  {
    base::Lock lock(mutex_);
    states_[member] = next.state;
  }
  // What was opened or bound before is void before anybody is told that the member is gone.
  if (next.state.epoch != before.epoch) subject.epoch.store(next.state.epoch, std::memory_order_release);
  for (const halog::Event& line : next.effects.log) group_.log(line);
  return next;
}

void Management::arm(unsigned member, std::uint32_t epoch, base::Monotonic at) {
  timers_[member] = scheduler_.at(at, [this, member, epoch] { apply(member, event::AttemptDue{epoch}); });
}

void Management::apply(unsigned member, const MemberEvent& event) {
  if (stopped_) return;
  const Phase before = state(member).phase;
  const Step next = transition(member, event);
  const bool recovered = before == Phase::Recovering && next.state.phase == Phase::Active;
  // A late call may have suspected it while it was being recovered: that was not about the member as it is now.
  if (recovered) group_.member(member).suspect.store(0, std::memory_order_release);
  if (next.effects.serveChanged) publish();
  if (next.effects.cancelTimer) scheduler_.cancel(timers_[member]);
  if (next.effects.timer) arm(member, next.state.epoch, *next.effects.timer);
  if (next.effects.startAttempt) attempt(member, next.state.epoch);
  if (recovered) settle(member, next.state.epoch);
}

void Management::publish() {
  MemberMask up = 0;
  MemberMask standby = 0;
  {
    base::Lock lock(mutex_);
    for (const auto& member : group_.members) {
      if (states_[member->index].phase == Phase::Active) up |= bit(member->index);
      if (member->standby) standby |= bit(member->index);
    }
  }
  const bool someBefore = !group_.view().none();
  group_.publish(makeView(up, standby));
  const bool someNow = !group_.view().none();
  if (someBefore && !someNow) group_.log(halog::MembersOffline{});
  if (someBefore != someNow && group_.onPresence) group_.onPresence(someNow);
}

void Management::attempt(unsigned member, std::uint32_t epoch) {
  work(member, event::AttemptFailed{epoch, CKR_HOST_MEMORY},
       [this, member, epoch] { post(member, recovery_.attempt(group_.member(member), epoch)); });
}

void Management::settle(unsigned member, std::uint32_t epoch) {
  work(member, event::Failed{epoch, CKR_HOST_MEMORY},
       [this, member, epoch] { recovery_.settle(group_.member(member), epoch); });
}

// On a worker. Without the thread or the memory for it, it has failed: the member's next attempt may find more.
void Management::work(unsigned member, const MemberEvent& failed, const base::Task& task) {
  const bool begun = workers_.run([this, member, failed, task] {
    try {
      task();
    } catch (const std::bad_alloc&) {
      post(member, failed);
    }
  });
  if (!begun) post(member, failed);
}

// A local module cannot be interrupted: a member whose call is overdue is marked down for all other calls.
void Management::watch() {
  if (stopped_) return;
  const base::Monotonic now = group_.clock.now();
  group_.setCoarseNow(now);
  const std::int64_t present = group_.coarseNow();
  sessions_.visit([&](Session& session) {
    const RunningCall& running = session.running;
    const std::int64_t since = running.since.load(std::memory_order_acquire);
    if (since == 0 || session.owner.load(std::memory_order_acquire) != &owner_) return;
    const auto [epoch, index, fn] = running.what.load(std::memory_order_relaxed);
    check(group_.member(index), epoch, fn, present - since);
  });
  for (GroupMember& member : group_.each(group_.view().synced)) {
    member.token->visit([&](WatchedToken::Running& running) {
      if (running.since == 0) running.since = present;
      check(member, running.epoch, running.fn, present - running.since);
    });
  }
  const auto pause = std::max(group_.policy.callDeadline / kLooksPerDeadline, std::chrono::milliseconds(10));
  scheduler_.at(now + pause, [this] { watch(); });
}

// A call on that member has run for so many milliseconds.
void Management::check(GroupMember& member, std::uint32_t epoch, cryptoki::Fn fn, std::int64_t running) {
  const auto deadline = isKeyGeneration(fn) ? group_.policy.keyGenerationDeadline : group_.policy.callDeadline;
  if (running <= deadline.count()) return;
  if (member.epoch.load(std::memory_order_acquire) != epoch || member.isSuspect()) return;
  group_.log(halog::MemberHung{member.serial, std::string(cryptoki::function(fn).name),
                               static_cast<std::uint64_t>(deadline.count())});
  group_.lose(member, epoch, Loss::Dropped, CKR_DEVICE_ERROR);
}

}  // namespace p11ha::ha
