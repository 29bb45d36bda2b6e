// C_WaitForSlotEvent: a member slot's token that goes or comes back; a group's never does.
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

class SlotEvents : public LifeCycle {
 protected:
  SlotEvents() { configure(onFailing("   HAOnly = 0;\n")); }

  static constexpr CK_SLOT_ID kNone = ~CK_SLOT_ID{0};
  static CK_SLOT_ID poll(const Client& client) {
    CK_SLOT_ID slot = kNone;
    const CK_RV rv = client.f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, nullptr);
    EXPECT_EQ(rv, slot == kNone ? CKR_NO_EVENT : CKR_OK);
    return slot;
  }
  static CK_SLOT_ID wait(const Client& client) {
    CK_SLOT_ID slot = kNone;
    EXPECT_EQ(client.f->C_WaitForSlotEvent(0, &slot, nullptr), CKR_OK);
    return slot;
  }
  static bool present(const Client& client, CK_SLOT_ID slot) {
    CK_SLOT_INFO info{};
    EXPECT_EQ(client.f->C_GetSlotInfo(slot, &info), CKR_OK);
    return (info.flags & CKF_TOKEN_PRESENT) != 0;
  }
  CK_SLOT_ID slotOf(const Client& client, std::size_t index) const { return client.slotOf(store.serial(index)); }
};

TEST_F(SlotEvents, TellThatATokenIsLostAndThatItIsBack) {
  expectEndsWell([&] {
    const Client client(module());
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    EXPECT_EQ(poll(client), kNone);
    const CK_SLOT_ID slot = slotOf(client, 1);
    tell("unplug " + member(1));
    EXPECT_EQ(wait(client), slot) << "seen though nobody calls it";
    EXPECT_FALSE(present(client, slot));
    EXPECT_EQ(poll(client), kNone) << "told once";
    tell("heal");
    EXPECT_EQ(wait(client), slot);
    EXPECT_TRUE(present(client, slot));
    EXPECT_EQ(poll(client), kNone);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    // Of an earlier cycle nothing is told.
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    EXPECT_EQ(poll(client), kNone);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_F(SlotEvents, AreKeptForWhoeverAsksLater) {
  expectEndsWell([&] {
    const Client client(module());
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    const CK_SLOT_ID slot = slotOf(client, 2);
    const CK_SESSION_HANDLE session = client.open(slot);
    tell("unplug " + member(2));
    EXPECT_NE(client.random(session), CKR_OK);
    await([&] { return !present(client, slot); }, "the token to be seen lost");
    await([&] { return poll(client) == slot; }, "its event");
    tell("heal");
    await([&] { return present(client, slot); }, "the token to be back");
    EXPECT_EQ(wait(client), slot);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_F(SlotEvents, AreToldToOneOfThoseThatWait) {
  expectEndsWell([&] {
    const Client client(module());
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    const CK_SLOT_ID slot = slotOf(client, 0);
    std::atomic<int> told{0};
    std::atomic<int> ended{0};
    std::vector<std::thread> waiters;
    for (int i = 0; i < 4; ++i) {
      waiters.emplace_back([&] {
        CK_SLOT_ID seen = kNone;
        const CK_RV rv = client.f->C_WaitForSlotEvent(0, &seen, nullptr);
        EXPECT_TRUE(rv == CKR_OK ? seen == slot : rv == CKR_CRYPTOKI_NOT_INITIALIZED) << std::hex << rv;
        (rv == CKR_OK ? told : ended).fetch_add(1);
      });
    }
    tell("unplug " + member(0));
    await([&] { return told.load() == 1; }, "one that is told");
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
    for (std::thread& waiter : waiters) waiter.join();
    EXPECT_EQ(told.load(), 1);
    EXPECT_EQ(ended.load(), 3);
  });
}

TEST_F(SlotEvents, NeverTellOfAGroup) {
  configure(onFailing());
  expectEndsWell([&] {
    const Working client = work();
    for (std::size_t i = 0; i < 3; ++i) tell("unplug " + member(i));
    await([&] { return logged("all members") + logged("offline") != 0 || client.random(client.session) != CKR_OK; },
          "the outage");
    EXPECT_TRUE(present(client, 0));
    EXPECT_EQ(poll(client), kNone);
    tell("heal");
    await([&] { return client.random(client.session) == CKR_OK; }, "members that are back");
    EXPECT_EQ(poll(client), kNone);
    EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
  });
}

TEST_F(SlotEvents, RefuseBadArguments) {
  expectEndsWell([&] {
    auto* f = module();
    CK_SLOT_ID slot = 0;
    EXPECT_EQ(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
    ASSERT_EQ(f->C_Initialize(nullptr), CKR_OK);
    EXPECT_EQ(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, nullptr, nullptr), CKR_ARGUMENTS_BAD);
    EXPECT_EQ(f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &slot), CKR_ARGUMENTS_BAD);
    EXPECT_EQ(f->C_Finalize(nullptr), CKR_OK);
  });
}

}  // namespace
}  // namespace p11ha::tests
