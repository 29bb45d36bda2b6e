#include "ha/sync_plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>

namespace p11ha::ha {
namespace {

using What = SyncAction::What;
using Sort = SyncNote::Sort;
using Types = std::vector<CK_ATTRIBUTE_TYPE>;

template <class Do>
void eachMember(MemberMask mask, Do&& run) {
  for (; mask != 0; mask &= mask - 1) run(static_cast<unsigned>(std::countr_zero(mask)));
}

bool countsBefore(const SyncNote& one, const SyncNote& other) {
  return one.at != other.at ? one.at > other.at : one.rank < other.rank;
}

// By object, the notes about it.
std::vector<std::vector<std::size_t>> notesOf(const SyncState& state) {
  std::vector<std::vector<std::size_t>> about(state.objects.size());
  for (std::size_t i = 0; i < state.notes.size(); ++i) {
    if (state.notes[i].holders == 0) continue;
    for (const std::size_t object : state.notes[i].objects) about.at(object).push_back(i);
  }
  return about;
}

// Is it to go, as far as the notes about it say?
bool isCondemned(const SyncState& state, const SyncObject& object, const std::vector<std::size_t>& about) {
  const SyncNote* last = nullptr;
  MemberMask tombstones = 0;
  for (const std::size_t i : about) {
    const SyncNote& note = state.notes[i];
    if (note.sort == Sort::Changed) continue;
    if (note.sort == Sort::Destroyed) tombstones |= note.holders;
    if (last == nullptr || countsBefore(note, *last)) last = &note;
  }
  return last != nullptr && last->sort == Sort::Destroyed && !object.isDisputed && (object.holders & tombstones) == 0;
}

struct Winner {
  std::size_t note = 0;
  std::optional<unsigned> source;
};

// By type, the change that counts.
std::map<CK_ATTRIBUTE_TYPE, Winner> winners(const SyncState& state, const SyncObject& object,
                                            const std::vector<std::size_t>& about) {
  std::map<CK_ATTRIBUTE_TYPE, Winner> all;
  for (const std::size_t i : about) {
    const SyncNote& note = state.notes[i];
    if (note.sort != Sort::Changed) continue;
    for (const CK_ATTRIBUTE_TYPE type : note.types) {
      const auto [known, isNew] = all.try_emplace(type, Winner{i, {}});
      if (!isNew && countsBefore(note, state.notes[known->second.note])) known->second.note = i;
    }
  }
  for (auto& [type, winner] : all) {
    const MemberMask sources = state.notes[winner.note].holders & object.holders;
    if (sources != 0) winner.source = static_cast<unsigned>(std::countr_zero(sources));
  }
  return all;
}

// Was that attribute changed on the member by somebody who had not seen the change that counts?
bool givesWay(const SyncState& state, const std::vector<std::size_t>& about, CK_ATTRIBUTE_TYPE type, unsigned member,
              const SyncNote& winner) {
  return std::any_of(about.begin(), about.end(), [&](std::size_t i) {
    const SyncNote& note = state.notes[i];
    return note.sort == Sort::Changed && (note.holders & bit(member)) != 0 && (note.holders & winner.holders) == 0 &&
           std::find(note.types.begin(), note.types.end(), type) != note.types.end();
  });
}

void planChanges(const SyncState& state, std::size_t index, const std::vector<std::size_t>& about,
                 std::vector<SyncAction>& actions) {
  const SyncObject& object = state.objects[index];
  const auto won = winners(state, object, about);
  std::map<std::pair<unsigned, std::size_t>, SyncAction> byMember;  // and by the note that counts
  for (const auto& [type, winner] : won) {
    if (!winner.source) continue;
    const SyncNote& note = state.notes[winner.note];
    eachMember(object.holders & ~note.holders, [&, type = type, winner = winner](unsigned member) {
      SyncAction& action = byMember[{member, winner.note}];
      action = {What::Change,          member, index, winner.note, *winner.source, std::move(action.types),
                std::move(action.lost)};
      action.types.push_back(type);
      if (givesWay(state, about, type, member, note)) action.lost.push_back(type);
    });
  }
  for (auto& [where, action] : byMember) actions.push_back(std::move(action));
}

void planCopies(const SyncState& state, std::size_t index, std::vector<SyncAction>& actions) {
  const SyncObject& object = state.objects[index];
  if (!object.alive || object.isDisputed || object.holders == 0) return;
  eachMember(state.here & state.returned & ~object.holders & ~object.unclear, [&](unsigned member) {
    actions.push_back({What::Copy, member, index, 0, static_cast<unsigned>(std::countr_zero(object.holders)), {}, {}});
  });
}

// Has all that the note asks for been done, as far as anybody can tell?
bool isSettled(const SyncState& state, const SyncNote& note) {
  return !note.isDisputed && !note.isFresh &&
         std::none_of(note.objects.begin(), note.objects.end(), [&](std::size_t object) {
           return state.objects[object].isDisputed || state.objects[object].unclear != 0;
         });
}

void planRemoval(const SyncState& state, Sort sort, std::vector<SyncAction>& actions) {
  // Tombstones beside an object that was made anew say so till the last.
  for (const bool areBeside : {false, true}) {
    for (std::size_t i = 0; i < state.notes.size(); ++i) {
      const SyncNote& note = state.notes[i];
      if (note.sort != sort || !isSettled(state, note)) continue;
      MemberMask beside = 0;
      for (const std::size_t object : note.objects) beside |= state.objects[object].holders;
      eachMember(note.holders & state.here & (areBeside ? beside : ~beside), [&](unsigned member) {
        actions.push_back({What::RemoveNote, member, 0, i, 0, {}, {}});
      });
    }
  }
}

void planSpread(const SyncState& state, std::vector<SyncAction>& actions) {
  for (std::size_t i = 0; i < state.notes.size(); ++i) {
    const SyncNote& note = state.notes[i];
    if (note.holders == 0 || !isSettled(state, note)) continue;
    // A tombstone beside an object says that it was made anew: none comes to be so.
    const bool isVoid =
        note.sort == Sort::Destroyed && std::any_of(note.objects.begin(), note.objects.end(), [&](std::size_t object) {
          return (state.objects[object].holders & note.holders) != 0;
        });
    if (isVoid) continue;
    eachMember(state.here & ~note.holders, [&](unsigned member) {
      actions.push_back({What::WriteNote, member, 0, i, 0, {}, {}});
    });
  }
}

}  // namespace

std::vector<bool> condemned(const SyncState& state) {
  const auto about = notesOf(state);
  std::vector<bool> all(state.objects.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = isCondemned(state, state.objects[i], about[i]);
  return all;
}

std::vector<SyncAction> plan(const SyncState& state) {
  const auto about = notesOf(state);
  const std::vector<bool> dead = condemned(state);
  std::vector<SyncAction> actions;
  for (const bool keys : {true, false}) {
    for (std::size_t i = 0; i < state.objects.size(); ++i) {
      if (!dead[i] || state.objects[i].isKey != keys) continue;
      eachMember(state.objects[i].holders, [&](unsigned member) {
        actions.push_back({What::Destroy, member, i, 0, 0, {}, {}});
      });
    }
  }
  for (std::size_t i = 0; i < state.objects.size(); ++i) {
    if (!dead[i] && !state.objects[i].isDisputed) planChanges(state, i, about[i], actions);
  }
  for (std::size_t i = 0; i < state.objects.size(); ++i) {
    if (!dead[i]) planCopies(state, i, actions);
  }
  if ((state.configured & ~state.here) != 0) {
    planSpread(state, actions);
  } else {
    for (const Sort sort : {Sort::Destroyed, Sort::MadeAnew, Sort::Changed}) planRemoval(state, sort, actions);
  }
  return actions;
}

}  // namespace p11ha::ha
