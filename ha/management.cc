#include "ha/management.h"

#include <algorithm>
#include <new>
#include <utility>

#include "ha/admission.h"

namespace p11ha::ha {
namespace {

// How often running calls are looked at, as a part of CallDeadline.
constexpr int kLooksPerDeadline = 20;

}  // namespace

Management::Management(Group& group, Recovery& recovery, Retirement& retirement, SessionTable& sessions,
                       const SessionOwner& owner, base::Scheduler& scheduler, base::Workers& workers,
                       std::function<void()> beforeAttempt, Decide decide)
    : group_(group),
      recovery_(recovery),
      retirement_(retirement),
      sessions_(sessions),
      owner_(owner),
      scheduler_(scheduler),
      workers_(workers),
      beforeAttempt_(std::move(beforeAttempt)),
      decide_(std::move(decide)) {
  for (MemberState& state : states_) state.phase = Phase::Removed;
  group_.onLoss = [this](unsigned member, std::uint32_t epoch, Loss loss, CK_RV rv) { lost(member, epoch, loss, rv); };
  group_.onPoison = [this](unsigned member, std::uint32_t epoch) { post(member, event::Poisoned{epoch}); };
}

void Management::enlist(unsigned member) {
  base::Lock lock(mutex_);
  states_[member].phase = Phase::Active;
  group_.members.setPresent(group_.members.present() | bit(member));
}

void Management::start(std::span<const std::optional<MemberEvent>> found) {
  group_.log(halog::MgmtThreadStart{});
  if (const Kind kind = group_.kind.load(); kind != Kind::Unknown) group_.log(configuredAs(kind));
  {
    base::Lock lock(mutex_);
    for (MemberState& state : states_) state.since = group_.clock.now();
  }
  std::vector<Change> changes;
  for (unsigned member = 0; member < found.size(); ++member) {
    if (!found[member]) continue;
    changes.push_back(meet(member, *found[member]));
    announce(changes.back());
  }
  const Presence presence = publish();
  if (!presence.now) group_.log(halog::MembersOffline{});
  tellPresence(presence);
  tellOfChange();
  // Timers are the scheduler's thread's own, which is at work from here on.
  for (const Change& change : changes) {
    if (!change.next.effects.timer) continue;
    scheduler_.post([this, member = change.member, epoch = change.next.state.epoch, at = *change.next.effects.timer] {
      arm(member, epoch, at);
    });
  }
  scheduler_.post([this] {
    lookedAt_ = group_.clock.now();
    watch();
  });
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

void Management::loginStarted(MemberMask except) {
  for (const GroupMember& member : group_.each(group_.members.present() & ~except))
    post(member.index, event::LoginStarted{});
}

void Management::recoverNow(unsigned member) { post(member, event::RecoverNow{}); }

MemberState Management::state(unsigned member) const {
  base::Lock lock(mutex_);
  return states_[member];
}

std::optional<base::Monotonic> Management::allLostSince() const {
  base::Lock lock(mutex_);
  return allLostSince_;
}

Management::Change Management::meet(unsigned member, const MemberEvent& event) {
  const MemberState before = state(member);
  Step next = decide_(before, event, group_.clock.now(), group_.policy().recovery, group_.member(member).serial);
  base::Lock lock(mutex_);
  states_[member] = next.state;
  return {member, before, std::move(next)};
}

// Once the view leaves out whoever is gone: under its new epoch no call finds it suspect.
void Management::announce(const Change& change) {
  GroupMember& member = group_.member(change.member);
  // What was opened or bound before is void before anybody is told that the member is gone.
  if (change.next.state.epoch != change.before.epoch) {
    group_.stopReceiving(member);
    member.epoch.store(change.next.state.epoch, std::memory_order_release);
  }
  for (const halog::Event& line : change.next.effects.log) group_.log(line);
}

void Management::arm(unsigned member, std::uint32_t epoch, base::Monotonic at) {
  timers_[member] = scheduler_.at(at, [this, member, epoch] { apply(member, event::AttemptDue{epoch}); });
}

void Management::apply(unsigned member, const MemberEvent& event) {
  if (stopped_ || group_.ended()) return;
  if (missedLogin(member, event)) return apply(member, event::LoginMissed{state(member).epoch});
  const auto* const succeeded = std::get_if<event::AttemptSucceeded>(&event);
  const bool received = succeeded != nullptr && succeeded->received;
  const auto isLost = [&] { return received && !group_.isReceiving(group_.member(member)); };
  // A call has found it gone since the attempt looked last.
  if (isLost()) return apply(member, event::AttemptFailed{succeeded->epoch, CKR_DEVICE_ERROR, Cause::None, {}, true});
  const Change change = meet(member, event);
  const Step& next = change.next;
  const bool recovered = change.before.phase == Phase::Recovering && next.state.phase == Phase::Active;
  // A late call may have suspected it while it was being recovered: that was not about the member as it is now.
  if (recovered) group_.member(member).suspect.store(0, std::memory_order_release);
  const Presence presence = next.effects.serveChanged ? publish() : Presence{};
  // Or finds it so while it is published.
  if (recovered && isLost()) post(member, event::Failed{next.state.epoch, CKR_DEVICE_ERROR});
  if (recovered) group_.stopReceiving(group_.member(member));
  announce(change);
  tellPresence(presence);
  carryOut(member, next);
  if (recovered) settle(member, next.state.epoch);
}

// Somebody has logged in or out since the attempt looked: the member would serve without its keys. It tries once more.
bool Management::missedLogin(unsigned member, const MemberEvent& event) const {
  const auto* const succeeded = std::get_if<event::AttemptSucceeded>(&event);
  const MemberState now = state(member);
  if (succeeded == nullptr || now.phase != Phase::Recovering || succeeded->epoch != now.epoch) return false;
  return group_.login.user() != LoginState::kNobody &&
         group_.members[member].loginGeneration.load(std::memory_order_acquire) != group_.login.generation();
}

// All effects but that who serves is published.
void Management::carryOut(unsigned member, const Step& next) {
  if (group_.ended()) return;
  if (next.effects.cancelTimer) scheduler_.cancel(timers_[member]);
  if (next.effects.timer) arm(member, next.state.epoch, *next.effects.timer);
  if (next.effects.startAttempt) attempt(member, next.state.epoch);
  tellOfChange();
}

void Management::tellOfChange() const {
  if (group_.onChange) group_.onChange();
}

void Management::reconfigure(GroupUpdate update) {
  scheduler_.post([this, made = std::move(update)] {
    takeOver(made);
    if (made.then) made.then();
  });
}

void Management::takeOver(const GroupUpdate& update) {
  if (stopped_ || group_.ended()) return;
  const RecoveryPolicy before = group_.policy().recovery;
  group_.setPolicy(update.policy);
  MemberMask named = 0;
  for (const MemberUpdate& wanted : update.members) {
    const GroupMember* const member = enrolled(wanted);
    if (member != nullptr) named |= bit(member->index);
  }

  std::vector<Change> changes;
  const auto allMeet = [&](MemberMask members, const MemberEvent& event) {
    for (const GroupMember& member : group_.each(members)) changes.push_back(meet(member.index, event));
  };
  const MemberMask present = group_.members.present();
  allMeet(present & ~named, event::Removed{});
  leaving_ = (leaving_ | (present & ~named)) & ~named;
  for (const MemberUpdate& wanted : update.members) {
    if (GroupMember* const member = group_.members.find(wanted.serial)) member->standby.store(wanted.standby);
  }
  for (GroupMember& member : group_.each(named & ~present)) member.isNew.store(true);
  allMeet(named & ~present, event::Added{});
  if (before != update.policy.recovery) allMeet(named & present, event::PolicyChanged{});
  group_.members.setPresent(named);
  const Presence presence = publish();
  for (const Change& change : changes) announce(change);
  tellPresence(presence);
  for (const Change& change : changes) carryOut(change.member, change.next);
  if (!update.recover) return;
  for (const GroupMember& member : group_.each(named)) apply(member.index, event::RecoverNow{});
}

// The member of that serial number, for which a place is made where it has none.
GroupMember* Management::enrolled(const MemberUpdate& update) {
  if (GroupMember* const known = group_.members.find(update.serial)) return known;
  GroupMember* const fresh = update.token == nullptr ? nullptr : group_.members.add(update.token, update.standby);
  if (fresh == nullptr && refused_.insert(update.serial).second) {
    group_.log(halog::MemberRefused{update.serial, "the group has had " + std::to_string(kMaxMembers) +
                                                       " members since C_Initialize, and has no place for another"});
  }
  return fresh;
}

// Nobody is waited for any more.
void Management::endGroup() {
  group_.end();
  for (const GroupMember& member : group_.each(group_.members.present())) {
    const Change change = meet(member.index, event::GroupEnded{});
    announce(change);
    if (change.next.effects.cancelTimer) scheduler_.cancel(timers_[member.index]);
  }
}

// Members that were removed, once no call of theirs is left.
void Management::retire() {
  for (GroupMember& member : group_.each(leaving_)) {
    bool busy = member.outstanding.load(std::memory_order_relaxed) != 0;
    member.token->visit([&](const WatchedToken::Running&) { busy = true; });
    if (busy) continue;
    const unsigned index = member.index;
    const std::uint32_t epoch = state(index).epoch;
    leaving_ &= ~bit(index);
    const bool begun = workers_.run([this, index, epoch] {
      if (retirement_.run(group_.member(index), epoch)) return;
      scheduler_.post([this, index, epoch] {
        if (!stopped_ && state(index).epoch == epoch) leaving_ |= bit(index);
      });
    });
    if (!begun) leaving_ |= bit(index);
  }
}

Management::Presence Management::publish() {
  MemberMask up = 0;
  MemberMask standby = 0;
  {
    base::Lock lock(mutex_);
    for (const GroupMember& member : group_.each(group_.members.present())) {
      if (states_[member.index].phase == Phase::Active) up |= bit(member.index);
      if (member.standby) standby |= bit(member.index);
    }
  }
  const bool someBefore = !group_.view().none();
  group_.publish(makeView(up, standby));
  const bool someNow = !group_.view().none();
  base::Lock lock(mutex_);
  if (someNow) {
    allLostSince_.reset();
  } else if (!allLostSince_) {
    allLostSince_ = group_.clock.now();
  }
  return {someBefore, someNow};
}

void Management::tellPresence(Presence presence) {
  if (presence.before == presence.now) return;
  if (!presence.now) group_.log(halog::MembersOffline{});
  if (!presence.now && group_.policy().recoveryMode == RecoveryMode::Basic) endGroup();
  if (group_.onPresence) group_.onPresence(presence.now);
}

void Management::attempt(unsigned member, std::uint32_t epoch) {
  work(member, event::AttemptFailed{epoch, CKR_HOST_MEMORY}, [this, member, epoch] {
    if (beforeAttempt_) beforeAttempt_();
    post(member, recovery_.attempt(group_.member(member), epoch));
  });
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
  const auto pause = std::max(group_.policy().callDeadline / kLooksPerDeadline, std::chrono::milliseconds(10));
  // Time in which nothing here was let run is nobody's fault.
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - lookedAt_);
  group_.moveCoarse(std::min(passed, 2 * pause));
  lookedAt_ = now;
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
  retire();
  scheduler_.at(now + pause, [this] { watch(); });
}

// A call on that member has run for so many milliseconds.
void Management::check(GroupMember& member, std::uint32_t epoch, cryptoki::Fn fn, std::int64_t running) {
  const std::chrono::milliseconds deadline = group_.policy().deadlineOf(fn);
  if (running <= deadline.count()) return;
  if (member.epoch.load(std::memory_order_acquire) != epoch || member.isSuspect()) return;
  group_.log(halog::MemberHung{member.serial, std::string(cryptoki::function(fn).name),
                               static_cast<std::uint64_t>(deadline.count())});
  group_.lose(member, epoch, Loss::Dropped, CKR_DEVICE_ERROR);
}

}  // namespace p11ha::ha
