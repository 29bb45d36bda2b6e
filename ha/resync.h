// Brings the members of a group to hold the same: what one missed while it was away, in either direction ("Resync" in
// CLONING.md).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ha/ahead.h"
#include "ha/catalog.h"
#include "ha/cloning.h"
#include "ha/key_records.h"
#include "ha/notes/names.h"
#include "ha/repetition.h"
#include "ha/sync_plan.h"
#include "ha/turns.h"

namespace p11ha::ha {

/// Owned by the VirtualToken. Runs on workers, of several recoveries at once: every step may block as long as the
/// members' calls do, and no call of the application but C_Login (applyNotes()) waits for it. It works in sessions of
/// p11ha's own (GroupMember::resync).
///
/// Each run looks at the members anew, plans (sync_plan.h), and does what was planned; one that ended in the middle is
/// made good by the next. A member removed from the configuration and added again counts as one that was away.
class Resync {
 public:
  Resync(Group& group, Catalog& catalog, Cloner& cloner, KeyRecords& records)
      : group_(group), catalog_(catalog), cloner_(cloner), records_(records) {}

  struct Result {
    // Of the member that came back, if it was lost or cannot be looked at; CKR_FUNCTION_CANCELED: it was cut off.
    cryptoki::Outcome outcome{};
    std::uint64_t tokenObjects = 0;  // copied to it
    bool isWhole = true;             // nothing was left to the next run
    bool hadTurn = true;             // else nothing was done on the member that came back
  };

  /// For a member whose stock was taken and that does not serve yet: it gets what it lacks, and it and those that serve
  /// learn from each other what was destroyed and changed. Nothing is done where the group is not kept in sync.
  Result bringBack(GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(member.attempting);

  /// After it serves: what was made, changed or destroyed between that look and now.
  Result catchUp(GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(member.attempting);

  /// For a member that serves: what was looked for there and not found, so that nothing is copied that a call of the
  /// application is putting there at this moment.
  Result share(GroupMember& member, std::uint32_t epoch) P11HA_REQUIRES(member.attempting);

  /// What the notes say, where those that serve bear any: a login shows what earlier processes left undone.
  void applyNotes();

 private:
  static constexpr OwnSession kOwn = &GroupMember::resync;

  // The members as one run sees them.
  struct View {
    SyncState state;
    std::vector<ObjectPtr> objects;
    std::vector<notes::Note> notes;
    std::vector<std::multimap<unsigned, CK_OBJECT_HANDLE>> noteHandles;  // by member; two may have written it there
    std::array<std::uint32_t, kMaxMembers> epochs{};
    GroupMember* returned = nullptr;
    Result result;
    bool keepsNotes = false;
    Repetition repetition{20};                                         // of copies
    std::set<std::pair<std::size_t, unsigned>> failed;                 // objects on members that did not follow
    std::vector<std::pair<std::size_t, unsigned>> copied;              // token objects, to which member
    std::optional<std::multimap<notes::Name, std::size_t>> elsewhere;  // readElsewhere()

    bool over() const { return result.outcome.rv != CKR_OK; }
  };

  MemberMask lookAgain(MemberMask members, GroupMember* returned, cryptoki::Outcome& ofReturned);
  cryptoki::Outcome lookAgain(GroupMember& member, std::uint32_t epoch);
  View look(MemberMask here, GroupMember* returned, std::uint32_t epoch);
  void lookAtObjects(View& view);
  void lookAtNotes(View& view);
  std::set<std::string> noted() const;
  void setFresh(View& view, const std::set<std::string>& known);
  void settleDoubts(View& view);
  using ByName = std::multimap<notes::Name, std::size_t>;
  ByName byName(const View& view) const;
  void readNamesAgain(View& view, const notes::Subject& like);
  void resolve(View& view);
  std::vector<std::size_t> pick(View& view, const notes::Subject& subject, const std::vector<std::size_t>& among,
                                SyncNote& note);
  void unite(View& view, SyncNote& note);
  Proof proveSame(const View& view, std::size_t one, std::size_t other);
  void join(View& view, std::size_t from, std::size_t to);
  /// What a look plans is done in this process's turn, after another look, so that what others have done meanwhile is
  /// not done twice.
  Result inTurn(MemberMask here, const std::function<View(MemberMask)>& looked);
  static void leaveOut(View& view, CK_OBJECT_HANDLE newest);
  void run(View& view, Turns& turns);
  void takeBack(View& view);
  void giveWay(View& view, MemberMask seen);
  std::vector<notes::Note> newTombstones(const View& view) const;
  using Parcels = Ahead<Cloner::Parcel>;
  std::unique_ptr<Parcels> takeAhead(const View& view, const std::vector<SyncAction>& actions);
  void act(View& view, const SyncAction& action);
  void destroy(View& view, const SyncAction& action);
  cryptoki::Outcome destroyAt(View& view, unsigned member, CK_OBJECT_HANDLE handle);
  void change(View& view, const SyncAction& action);
  void copy(View& view, const SyncAction& action, std::optional<Cloner::Parcel> parcel);
  void writeNote(View& view, const SyncAction& action);
  void removeNote(View& view, const SyncAction& action);
  bool isWorthAnother(View& view, GroupMember& target, CK_RV rv);
  bool isThere(View& view, const SyncAction& action);
  void readElsewhere(View& view);
  Copied copyFromAny(View& view, const ObjectPtr& object, GroupMember& target, unsigned preferred,
                     std::optional<Cloner::Parcel> parcel);
  bool isWell(View& view, GroupMember& member, const cryptoki::Outcome& outcome);
  void answered(View& view, GroupMember& member, std::size_t object, const cryptoki::Outcome& outcome);
  void lost(View& view, GroupMember& member, const cryptoki::Outcome& outcome);
  MemberMask certainHolders(const View& view, const Object& object) const;

  template <class Run>
  cryptoki::Outcome onMember(View& view, unsigned member, Run&& run);

  Group& group_;
  Catalog& catalog_;
  Cloner& cloner_;
  KeyRecords& records_;
  const std::uint64_t turnOwner_ = Turn::drawOwner();
  base::Mutex turn_;  // one turn at a time: held across the members' calls, and no call of the application waits for it
  base::Mutex claimsMutex_;
  std::set<std::pair<CK_OBJECT_HANDLE, unsigned>> claims_
      P11HA_GUARDED_BY(claimsMutex_);  // copies under way, by target
};

}  // namespace p11ha::ha
