// C_Initialize's arguments, as an application gives them.
#include "tests/lifecycle/lifecycle_fixture.h"
#include "tests/support/initialize_arguments.h"

namespace p11ha::tests {
namespace {

using Initialize = LifeCycle;

TEST_F(Initialize, AnswersEveryCombinationOfArguments) {
  expectEndsWell([&] {
    auto* f = module();
    const std::size_t threadsBefore = threads();
    int accepted = 0;
    for (const InitializeCase& each : everyInitializeCase()) {
      cryptoki::InitializeArgs arguments = each.arguments;
      EXPECT_EQ(f->C_Initialize(&arguments), each.answer) << each.name;
      if (each.answer != CKR_OK) {
        EXPECT_EQ(threads(), threadsBefore) << each.name << ": nothing may have begun";
        continue;
      }
      ++accepted;
      CK_INFO info{};
      EXPECT_EQ(f->C_GetInfo(&info), CKR_OK) << each.name;
      EXPECT_EQ(f->C_Initialize(&arguments), CKR_CRYPTOKI_ALREADY_INITIALIZED) << each.name;
      EXPECT_EQ(f->C_Finalize(nullptr), CKR_OK) << each.name;
      await([&] { return threads() == threadsBefore; }, "threads that end");
    }
    EXPECT_EQ(accepted, 6);
  });
}

}  // namespace
}  // namespace p11ha::tests
